"""The convolutions' times and memory as a table and as a log-log figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nnkit.present.drawing import PALETTE, new_figure, save_csv, save_figure, scale_y, style_axes
from nnkit.present.tables import table

COLUMNS = ("size", "direction", "name", "n", "median_s", "iqr_s", "ratio", "peak_bytes")


def bench_ops_table(document: Mapping[str, Any], *, width: int = 80) -> str:
    """A row per size, direction and convolution; "×" is the time over torch's."""
    rows = [
        [
            f"{cell['size']}×{cell['size']}",
            cell["name"],
            cell["direction"],
            f"{1e3 * cell['median_s']:.3g} ms" + (" (noisy)" if cell["noisy"] else ""),
            f"{_short(cell['ratio'])} [{_short(cell['ci95'][0])}, {_short(cell['ci95'][1])}]",
            f"{cell['peak_bytes'] / 2**20:.2f} MiB",
        ]
        for cell in sorted(
            document["cells"], key=lambda cell: (cell["size"], cell["direction"], cell["median_s"])
        )
    ]
    shape = f"batch {document['batch']}, {document['in_channels']} → {document['out_channels']} channels"
    head = f"{shape}, kernel {document['kernel']}×{document['kernel']}, {document['device']}, "
    head += f"{document['threads']} thread(s)"
    headers = ["image", "convolution", "direction", "median", "× torch", "peak memory"]
    return head + "\n\n" + table(rows, headers, align="nnnlll", width=width)


def _short(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.2f}"


def write_bench_ops(folder: Path, document: Mapping[str, Any]) -> list[Path]:
    """bench-ops.png and .csv: time and memory against the image's side, both axes logarithmic."""
    cells = document["cells"]
    figure = new_figure(10, 4.2)
    time_axes, memory_axes = figure.subplots(1, 2)
    for place, name in enumerate(dict.fromkeys(cell["name"] for cell in cells)):
        for direction, dash in (("forward", "--"), ("backward", "-")):
            own = [c for c in cells if c["name"] == name and c["direction"] == direction]
            if not own:
                continue
            sides = [cell["size"] for cell in own]
            style = {
                "color": PALETTE[place],
                "linestyle": dash,
                "marker": "o",
                "label": f"{name}, {direction}",
            }
            time_axes.plot(sides, [cell["median_s"] for cell in own], **style)
            memory_axes.plot(sides, [cell["peak_bytes"] / 2**20 for cell in own], **style)
    _finish(time_axes, "Time", "seconds, median", cells, [cell["median_s"] for cell in cells])
    mebibytes = [cell["peak_bytes"] / 2**20 for cell in cells]
    _finish(memory_axes, "Memory", "MiB of live tensors at the peak", cells, mebibytes)
    handles, labels = time_axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    png = save_figure(figure, folder / "bench-ops.png")
    rows = [[cell[column] for column in COLUMNS] for cell in cells]
    return [png, save_csv(COLUMNS, rows, folder / "bench-ops.csv")]


def _finish(
    axes: Any, title: str, y_label: str, cells: Sequence[Mapping[str, Any]], values: Sequence[float]
) -> None:
    style_axes(axes, title=title, x_label="side of the image, pixels", y_label=y_label)
    scale_y(axes, values)
    axes.set_xscale("log", base=2)
    sides = sorted({cell["size"] for cell in cells})
    axes.set_xticks(sides, [str(side) for side in sides])
