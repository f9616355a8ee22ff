"""A benchmark as a table, as Markdown, as CSV and as a picture of speed against batch size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from nnkit import files
from nnkit.present.drawing import (
    GREY,
    MARKERS,
    PALETTE,
    new_figure,
    save_csv,
    save_figure,
    scale_y,
    style_axes,
    write_file,
)
from nnkit.present.layout import WIDTH, fits, key_values, table
from nnkit.present.text import MISSING, count, duration, number

AXES = ("device", "batch_size", "num_workers", "shuffle", "drop_last", "pin_memory")
_HEADS = ("device", "batch", "workers", "shuffle", "drop last", "pinned")
MEASURED = (
    "n", "median_s", "iqr_s", "mean_s", "noisy", "outliers", "warm_up_s", "images", "images_per_s", "speedup",
    "floor_s", "times_floor",
)  # fmt: skip
Row = tuple[Mapping[str, Any], Mapping[str, Any]]
"""An arm and one of its cells."""
Columns = Mapping[str, tuple[str, Sequence[Any]]]
Draw = Callable[[Columns], str]


def bench_table(document: Mapping[str, Any], *, width: int = WIDTH) -> str:
    """What `bench` measured: the arms at their fastest, every cell, the verdicts, what follows."""
    return "\n\n".join(
        part
        for part in (
            key_values(_head(document), width=width),
            *_parts(document, lambda columns: _draw_text(columns, width)),
            "\n".join(_verdicts(document)),
            key_values(_conclusions(document), width=width),
        )
        if part
    )


def write_bench(folder: Path, document: Mapping[str, Any]) -> list[Path]:
    """bench.json (every sample), bench.csv (a row per cell), bench.md and bench.png."""
    folder.mkdir(parents=True, exist_ok=True)
    files.write_json(folder / "bench.json", document)
    heads = ["arm", "kind", "takes", "compiled", "class", *AXES, *MEASURED, "ci95_low", "ci95_high", "error"]
    rows = [
        [
            *(arm["name"], arm["kind"], arm["takes"], arm["compiled"], arm["fidelity"]["class"]),
            *(cell[name] for name in (*AXES, *MEASURED)),
            *(cell["ci95"] or (None, None)),
            cell["error"],
        ]
        for arm, cell in _cells(document)
    ]
    return [
        folder / "bench.json",
        save_csv(heads, rows, folder / "bench.csv"),
        write_file(folder / "bench.md", bench_markdown(document).encode()),
        save_figure(_draw(document), folder / "bench.png"),
    ]


def bench_markdown(document: Mapping[str, Any]) -> str:
    """The same tables in Markdown."""
    lines = [f"- {name}: {value}" for name, value in _head(document)]
    ends = [f"- {name}: {value}" for name, value in _conclusions(document)]
    verdicts = [f"- {line}" for line in _verdicts(document)]
    parts = [
        "# Benchmark",
        "\n".join(lines),
        *_parts(document, _draw_markdown),
        "\n".join([*verdicts, *ends]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def bench_compare_table(document: Mapping[str, Any], *, width: int = WIDTH) -> str:
    """What `bench compare` found: each cell's change, or "different machine"."""
    axes = _varying(document["cells"])
    rows = [
        [
            cell["arm"],
            *(cell[axis] for axis in axes),
            f"{cell['change']:.3f} [{cell['ci95'][0]:.3f}, {cell['ci95'][1]:.3f}]",
            ("regression: " if cell["regression"] else "") + cell["verdict"],
        ]
        for cell in document["cells"]
    ]
    heads = ["arm", *(_HEADS[AXES.index(axis)] for axis in axes), "time, b over a", "b is"]
    parts = [table(rows, heads, align="n" + "r" * len(axes) + "nl", width=width)]
    notes = [("different machine", text) for text in document["differences"]]
    notes += [("only in a", text) for text in document["only_in_a"]]
    notes += [("only in b", text) for text in document["only_in_b"]]
    return "\n\n".join([*parts, key_values(notes, width=width)] if notes else parts)


def _head(document: Mapping[str, Any]) -> list[tuple[str, object]]:
    environment = document["environment"]
    versions = environment["versions"]
    machine = f"{environment['cpu']}, {environment['cores']} cores, {environment['threads']} thread(s)"
    return [
        ("images", f"{count(document['images'])} of {document['dataset']}"),
        ("pipeline", document["pipeline"]),
        ("loader", document["loader"]),
        ("rounds", f"{document['repeats']}, interleaved"),
        ("machine", ", ".join([machine, *environment["gpus"]])),
        ("versions", f"torch {versions['torch']}, torchvision {versions['torchvision']}"),
    ]


def _parts(document: Mapping[str, Any], draw: Draw) -> list[str]:
    """The table of arms at their fastest, that of all cells where arms have several, and what to mind."""
    axes = _varying([cell for _, cell in _cells(document)])
    fastest = [(arm, _fastest(arm)) for arm in document["arms"]]
    parts = [draw(_columns(fastest, axes))]
    if len(_cells(document)) > len(fastest):
        parts.append(draw(_columns(_cells(document), axes)))
    noisy = [arm["name"] for arm, cell in _cells(document) if cell["noisy"]]
    outliers = sum(cell["outliers"] or 0 for _, cell in _cells(document))
    if noisy:
        names = ", ".join(dict.fromkeys(noisy))
        parts.append(f"! noisy, the middle half is wider than 10 % of the median: {names}")
    if outliers:
        parts.append(f"outliers, counted and kept: {outliers}")
    errors = dict.fromkeys(
        f"{arm['name']}: {cell['error']}" for arm, cell in _cells(document) if cell["error"]
    )
    return [*parts, *errors]


def _columns(rows: Sequence[Row], axes: Sequence[str]) -> Columns:
    """Title, letter of alignment and values of each column."""
    arms, cells = [arm for arm, _ in rows], [cell for _, cell in rows]
    own = {_HEADS[AXES.index(axis)]: ("r", [cell[axis] for cell in cells]) for axis in axes}
    return {
        "arm": ("n", [arm["name"] for arm in arms]),
        "fidelity": ("n", [arm["fidelity"]["class"] for arm in arms]),
        **own,
        "median": ("r", [duration(cell["median_s"]) + (" !" if cell["noisy"] else "") for cell in cells]),
        "images/s": ("r", [count(cell["images_per_s"]) for cell in cells]),
        "× loop": ("r", [_ratio(cell["speedup"]) for cell in cells]),
        "95 %": ("n", [_interval(cell["ci95"]) for cell in cells]),
        "× floor": ("r", [_ratio(cell["times_floor"]) for cell in cells]),
    }


def _draw_text(columns: Columns, width: int) -> str:
    """A text table; on a narrow terminal the median gives way, then the interval."""
    shown = dict(columns)
    for given_way in ("", "median", "95 %", "fidelity"):
        shown.pop(given_way, None)
        rows, letters = list(zip(*(values for _, values in shown.values()), strict=True)), _letters(shown)
        if fits(rows, list(shown), letters, width):
            return table(rows, list(shown), align=letters, width=width)
    rows = list(zip(*(values for _, values in columns.values()), strict=True))
    return table(rows, list(columns), align=_letters(columns), width=width)


def _draw_markdown(columns: Columns) -> str:
    rows = zip(*(values for _, values in columns.values()), strict=True)
    escaped = [[str(_shown(value)).replace("|", "\\|") for value in row] for row in rows]
    sides = ["right" if letter == "r" else "left" for letter in _letters(columns)]
    return tabulate(escaped, list(columns), tablefmt="github", disable_numparse=True, colalign=sides)


def _letters(columns: Columns) -> str:
    return "".join(letter for letter, _ in columns.values())


def _interval(ci95: Sequence[float] | None) -> str:
    return MISSING if ci95 is None else f"{_ratio(ci95[0])} to {_ratio(ci95[1])}"


def _verdicts(document: Mapping[str, Any]) -> list[str]:
    """A line per comparison; one that cannot replace the transforms is told so."""
    lines = []
    for found in document["comparisons"]:
        low, high = found["ci95"]
        word = (
            f"{_ratio(found['ratio'])} times the images/s of {found['b']} ({_ratio(low)} to {_ratio(high)})"
        )
        if found["verdict"] == "no difference":
            word = f"no difference shown from {found['b']} ({_ratio(low)} to {_ratio(high)})"
        ending = "" if found["replaces"] else ": it does not replace the transforms"
        lines.append(f"{found['a']} ({found['class'] or 'no output'}): {word}{ending}")
    return lines


def _conclusions(document: Mapping[str, Any]) -> list[tuple[str, object]]:
    best, pairs = document["best"], []
    if best is not None:
        setting = ", ".join(f"{head} {_shown(best[axis])}" for head, axis in zip(_HEADS, AXES, strict=True))
        speed = f"{count(best['images_per_s'])} images/s"
        pairs.append(("best", f"{best['arm']} ({best['class']}): {speed} at {setting}"))
    for arm in document["arms"]:
        for base, images in arm["break_even_images"].items():
            if images is not None:
                spent = duration(arm["train_s"])
                pairs.append(
                    ("break-even", f"{arm['name']}: {spent} of training, saved after {count(images)} images"
                     f" against {base}")
                )  # fmt: skip
    notes = [f"{arm['name']}: {arm['note']}" for arm in document["arms"] if arm["note"]]
    return [*pairs, *_levels(document), *(("note", note) for note in notes)]


def _levels(document: Mapping[str, Any]) -> list[tuple[str, object]]:
    """Of each arm that has output, the pixels of another 8-bit level than the reference's."""
    told = [(arm["name"], arm["fidelity"].get("levels")) for arm in document["arms"]]
    return [
        (
            "levels",
            f"{name}: {count(found['differing'])} differ, {count(found['near_boundary'])} near a boundary",
        )
        for name, found in told
        if found and found["differing"]
    ]


def _cells(document: Mapping[str, Any]) -> list[Row]:
    return [(arm, cell) for arm in document["arms"] for cell in arm["cells"]]


def _fastest(arm: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = max(arm["cells"], key=lambda cell: cell["images_per_s"] or 0)
    return found


def _varying(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """The settings that differ between cells; the loops' single image does not count."""
    return [
        axis
        for axis in AXES
        if len({cell[axis] for cell in cells if axis != "batch_size" or cell[axis] != 1}) > 1
    ]


def _ratio(value: float | None) -> str:
    return MISSING if value is None else count(value) if value >= 100 else f"{value:.3g}"


def _shown(value: object) -> object:
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value) if isinstance(value, float) else value


def _draw(document: Mapping[str, Any]) -> Any:
    """Images per second: a line per arm over batch sizes, or bars where there is one batch size."""
    sizes = sorted({cell["batch_size"] for arm, cell in _cells(document) if _is_batched(arm)})
    return _draw_lines(document, sizes) if len(sizes) > 1 else _draw_bars(document)


def _is_batched(arm: Mapping[str, Any]) -> bool:
    return bool(arm["name"] not in ("reference-loop", "pil-loop"))


def _draw_bars(document: Mapping[str, Any]) -> Any:
    from matplotlib.ticker import FuncFormatter

    arms = [arm for arm in document["arms"] if _fastest(arm)["images_per_s"]]
    figure = new_figure(8, 1.6 + 0.42 * len(arms))
    axes = figure.subplots()
    for place, arm in enumerate(reversed(arms)):
        cell = _fastest(arm)
        colour = PALETTE[0] if arm["kind"] == "model" else GREY
        axes.barh(place, cell["images_per_s"], color=colour, height=0.6)
        axes.text(cell["images_per_s"], place, f" {_ratio(cell['speedup'])} × loop", va="center", fontsize=9)
    names = [f"{arm['name']}\n{arm['fidelity']['class']}" for arm in reversed(arms)]
    style_axes(axes, title="Images per second", x_label="images per second", y_label="")
    axes.set_yticks(range(len(arms)), names)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    speeds = [_fastest(arm)["images_per_s"] for arm in arms]
    axes.set_xlim(min(speeds) / 2, max(speeds) * 4)
    return figure


def _draw_lines(document: Mapping[str, Any], sizes: Sequence[int]) -> Any:
    figure = new_figure(8, 4.4 + 0.1 * len(document["arms"]))
    axes = figure.subplots()
    values: list[float] = []
    lines = [
        (arm, device)
        for arm in document["arms"]
        for device in dict.fromkeys(cell["device"] for cell in arm["cells"] if cell["images_per_s"])
    ]
    several = len({device for _, device in lines}) > 1
    for place, (arm, device) in enumerate(lines):
        style: dict[str, Any] = {
            "color": PALETTE[place % len(PALETTE)],
            "linestyle": ("-", ":", "-.")[place // len(PALETTE) % 3],
            "label": f"{arm['name']}, {arm['fidelity']['class']}" + (f", {device}" if several else ""),
        }
        own = [cell for cell in arm["cells"] if cell["images_per_s"] and cell["device"] == device]
        values += [cell["images_per_s"] for cell in own]
        if not _is_batched(arm):
            axes.axhline(own[0]["images_per_s"], **{**style, "linestyle": "--"})
            continue
        best = {
            size: max(cell["images_per_s"] for cell in own if cell["batch_size"] == size)
            for size in sizes
            if any(cell["batch_size"] == size for cell in own)
        }
        axes.plot(list(best), list(best.values()), marker=MARKERS[place % len(MARKERS)], **style)
    style_axes(
        axes, title="Images per second, at the fastest of the other settings", x_label="batch size",
        y_label="images per second",
    )  # fmt: skip
    scale_y(axes, values)
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    return figure
