"""The convolutions' times and memory as a table and as a log-log figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nnkit.present.drawing import PALETTE, new_figure, save_csv, save_figure, scale_y, style_axes
from nnkit.present.layout import WIDTH, joined, table
from nnkit.present.text import count, counted, duration
from nnkit.results.bench_ops import BenchOpsResult, OpCell


def bench_ops_table(result: BenchOpsResult, *, width: int = WIDTH) -> str:
    """A row per size, direction and convolution; "× torch" is the time over torch's."""
    cells = sorted(result.cells, key=lambda cell: (cell.size, cell.direction, cell.median_s))
    rows = [
        [
            f"{cell.size}×{cell.size}",
            cell.name,
            cell.direction,
            duration(cell.median_s) + (" !" if cell.noisy else ""),
            f"{_short(cell.ratio)} [{_short(cell.ci95[0])}, {_short(cell.ci95[1])}]",
            f"{cell.peak_bytes / 2**20:.2f} MiB",
        ]
        for cell in cells
    ]
    shape = f"batch {result.batch}, {result.in_channels} → {counted(result.out_channels, 'channel')}"
    head = f"{shape}, kernel {result.kernel}×{result.kernel}, {result.device}, "
    head += counted(result.threads, "thread")
    headers = ["image", "convolution", "direction", "median", "× torch", "peak memory"]
    noisy = any(cell.noisy for cell in cells)
    return joined(
        head,
        table(rows, headers, align="nnnrnr", width=width),
        "! noisy: interquartile range over 10 % of the median" if noisy else "",
    )


def _short(ratio: float) -> str:
    return count(ratio) if ratio >= 100 else f"{ratio:.2f}"


def bench_ops_files(folder: Path) -> str:
    """The path of each file that `write_bench_ops` wrote, one a line."""
    return "\n".join(map(str, sorted(folder.glob("bench-ops.*"), reverse=True)))


def write_bench_ops(folder: Path, result: BenchOpsResult) -> list[Path]:
    """bench-ops.png and .csv: time and memory against the image's side, both axes logarithmic."""
    cells = result.cells
    figure = new_figure(10, 4.2)
    time_axes, memory_axes = figure.subplots(1, 2)
    for place, name in enumerate(dict.fromkeys(cell.name for cell in cells)):
        for direction, dash in (("forward", "--"), ("backward", "-")):
            own = [c for c in cells if c.name == name and c.direction == direction]
            if not own:
                continue
            sides = [cell.size for cell in own]
            style = {
                "color": PALETTE[place],
                "linestyle": dash,
                "marker": "o",
                "label": f"{name}, {direction}",
            }
            time_axes.plot(sides, [cell.median_s for cell in own], **style)
            memory_axes.plot(sides, [cell.peak_bytes / 2**20 for cell in own], **style)
    _finish(time_axes, "Time", "seconds, median", cells, [cell.median_s for cell in cells])
    mebibytes = [cell.peak_bytes / 2**20 for cell in cells]
    _finish(memory_axes, "Memory", "MiB of live tensors at the peak", cells, mebibytes)
    handles, labels = time_axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    png = save_figure(figure, folder / "bench-ops.png")
    rows = [
        [cell.size, cell.direction, cell.name, cell.n, cell.median_s, cell.iqr_s, cell.ratio, cell.peak_bytes]
        for cell in cells
    ]
    heads = ["size", "direction", "name", "n", "median_s", "iqr_s", "ratio", "peak_bytes"]
    return [png, save_csv(heads, rows, folder / "bench-ops.csv")]


def _finish(axes: Any, title: str, y_label: str, cells: Sequence[OpCell], values: Sequence[float]) -> None:
    style_axes(axes, title=title, x_label="side of the image, pixels", y_label=y_label)
    scale_y(axes, values)
    axes.set_xscale("log", base=2)
    sides = sorted({cell.size for cell in cells})
    axes.set_xticks(sides, [str(side) for side in sides])
