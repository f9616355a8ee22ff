"""A benchmark as a table, as Markdown, as CSV and as a picture of speed against batch size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from nnkit.present.layout import WIDTH, fits, joined, key_values, table
from nnkit.present.text import MISSING, count, counted, duration, number
from nnkit.results.base import Interval
from nnkit.results.bench import AtSetting, BenchArm, BenchCell, BenchResult, FastestCell, Selection, Sitting

AXES: Mapping[str, Callable[[AtSetting], object]] = {
    "device": lambda at: at.device,
    "batch": lambda at: at.batch_size,
    "workers": lambda at: at.num_workers,
    "shuffle": lambda at: at.shuffle,
    "drop last": lambda at: at.drop_last,
    "pinned": lambda at: at.pin_memory,
}
"""The settings of a cell, by the heads of their columns."""
Row = tuple[BenchArm, BenchCell | FastestCell]
Columns = Mapping[str, tuple[str, Sequence[object]]]
"""Letter of alignment and values of each column, by its head."""
Draw = Callable[[Columns], str]


def bench_table(result: BenchResult, *, width: int = WIDTH) -> str:
    """What `bench` measured: the arms at their fastest, every cell, the verdicts, what follows."""
    return joined(
        key_values(_head(result), width=width),
        *_parts(result, lambda columns: _draw_text(columns, width)),
        "\n".join(_verdicts(result)),
        key_values(_conclusions(result), width=width),
    )


def write_bench(folder: Path, result: BenchResult) -> list[Path]:
    """bench.json (every sample), bench.csv (a row per cell), bench.md and bench.png."""
    folder.mkdir(parents=True, exist_ok=True)
    files.write_json(folder / "bench.json", result.document())
    rows = []
    for arm, cell in _cells(result):
        low, high = cell.ci95 or (None, None)
        values = {name: value for name, value in cell.document().items() if name not in ("samples_s", "ci95")}
        error = values.pop("error")
        about = {"kind": arm.kind, "takes": arm.takes, "compiled": arm.compiled, "class": arm.fidelity.class_}
        rows.append({"arm": arm.name, **about, **values, "ci95_low": low, "ci95_high": high, "error": error})
    return [
        folder / "bench.json",
        save_csv(list(rows[0]), [list(row.values()) for row in rows], folder / "bench.csv"),
        write_file(folder / "bench.md", bench_markdown(result).encode()),
        save_figure(_draw(result), folder / "bench.png"),
    ]


def bench_files(folder: Path) -> str:
    """The path of each file that `write_bench` wrote, one a line."""
    return "\n".join(map(str, sorted(folder.glob("bench.*"))))


def bench_markdown(result: BenchResult) -> str:
    """The same tables in Markdown."""
    lines = [f"- {name}: {value}" for name, value in _head(result)]
    ends = [f"- {name}: {value}" for name, value in _conclusions(result)]
    verdicts = [f"- {line}" for line in _verdicts(result)]
    parts = [
        "# Benchmark",
        "\n".join(lines),
        *_parts(result, _draw_markdown),
        "\n".join([*verdicts, *ends]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(result: BenchResult) -> list[tuple[str, object]]:
    environment = result.environment
    versions = environment.versions
    cores, threads = counted(environment.cores or 0, "core"), counted(environment.threads, "thread")
    return [
        ("images", f"{count(result.images)} of {result.dataset}"),
        ("pipeline", result.pipeline),
        ("loader", result.loader),
        ("rounds", f"{result.repeats}, interleaved{_sittings(result.sittings)}"),
        ("machine", ", ".join([environment.cpu, cores, threads, *environment.gpus])),
        ("versions", f"torch {versions.get('torch')}, torchvision {versions.get('torchvision')}"),
    ]


def _sittings(sittings: Sequence[Sitting] | None) -> str:
    """That the rounds were not measured at one go, and how many of them each time."""
    if sittings is None:
        return ""
    numbers = " + ".join(str(sitting.rounds) for sitting in sittings)
    return f"; interrupted and resumed: measured in {len(sittings)} sittings, {numbers}"


def _parts(result: BenchResult, draw: Draw) -> list[str]:
    """The table of arms at their fastest, that of all cells where arms have several, and warnings."""
    axes = varying([cell for _, cell in _cells(result)])
    fastest: list[Row] = [(arm, arm.fastest) for arm in result.arms]
    parts = [draw(_columns(fastest, axes))]
    if len(_cells(result)) > len(fastest):
        parts.append(draw(_columns(_cells(result), axes)))
    if result.selection is not None:
        parts.append(_selection_remark(result.selection))
    noisy = [arm.name for arm, cell in _cells(result) if cell.noisy]
    outliers = sum(cell.outliers or 0 for _, cell in _cells(result))
    if noisy:
        names = ", ".join(dict.fromkeys(noisy))
        parts.append(f"! noisy, interquartile range over 10 % of the median: {names}")
    if outliers:
        parts.append(f"outliers, counted and kept: {outliers}")
    errors = dict.fromkeys(f"{arm.name}: {cell.error}" for arm, cell in _cells(result) if cell.error)
    return [*parts, *errors]


def _selection_remark(selection: Selection) -> str:
    """Which rounds chose the fastest settings, and which their values are of."""
    chose, reported = len(selection.choosing_rounds), len(selection.reported_rounds)
    if not selection.separate:
        return (
            f"! {counted(chose, 'round')} are too few to part: what is fastest is chosen and reported from"
            " the same rounds, so it looks too fast"
        )
    return (
        f"what is fastest is chosen in every second round, {chose} of {chose + reported}; its values, and all"
        f" comparisons with it, are of the other {reported}"
    )


def _columns(rows: Sequence[Row], axes: Sequence[str]) -> Columns:
    """Title, letter of alignment and values of each column."""
    arms, cells = [arm for arm, _ in rows], [cell for _, cell in rows]
    own = {head: ("r", [AXES[head](cell) for cell in cells]) for head in axes}
    return {
        "arm": ("n", [arm.name for arm in arms]),
        "fidelity": ("n", [arm.fidelity.class_ for arm in arms]),
        **own,
        "median": ("r", [duration(cell.median_s) + (" !" if cell.noisy else "") for cell in cells]),
        "images/s": ("r", [count(cell.images_per_s) for cell in cells]),
        "× loop": ("r", [_ratio(cell.speedup) for cell in cells]),
        "95 %": ("n", [_interval(cell.ci95) for cell in cells]),
        "× floor": ("r", [_ratio(cell.times_floor) for cell in cells]),
    }


def _draw_text(columns: Columns, width: int) -> str:
    """A text table; on a narrow terminal the median gives way, then more, which is said below."""
    shown, hidden = dict(columns), []
    for given_way in ("", "median", "95 %", "fidelity"):
        if given_way:
            hidden.append(given_way)
            del shown[given_way]
        rows, letters = list(zip(*(values for _, values in shown.values()), strict=True)), _letters(shown)
        if fits(rows, list(shown), letters, width):
            note = f"Not shown at this width, but in bench.md: {', '.join(hidden)}." if hidden else ""
            return joined(table(rows, list(shown), align=letters, width=width), note)
    rows = list(zip(*(values for _, values in columns.values()), strict=True))
    return table(rows, list(columns), align=_letters(columns), width=width)


def _draw_markdown(columns: Columns) -> str:
    rows = zip(*(values for _, values in columns.values()), strict=True)
    escaped = [[str(_shown(value)).replace("|", "\\|") for value in row] for row in rows]
    sides = ["right" if letter == "r" else "left" for letter in _letters(columns)]
    return tabulate(escaped, list(columns), tablefmt="github", disable_numparse=True, colalign=sides)


def _letters(columns: Columns) -> str:
    return "".join(letter for letter, _ in columns.values())


def _interval(ci95: Interval | None) -> str:
    return MISSING if ci95 is None else f"{_ratio(ci95[0])} to {_ratio(ci95[1])}"


def _verdicts(result: BenchResult) -> list[str]:
    """A line per comparison, with a remark where an arm does not replace the transforms."""
    lines = []
    for found in result.comparisons:
        low, high = found.ci95
        word = f"{_ratio(found.ratio)} times the images/s of {found.b} ({_ratio(low)} to {_ratio(high)})"
        if found.verdict == "no difference":
            word = f"no difference shown from {found.b} ({_ratio(low)} to {_ratio(high)})"
        ending = "" if found.replaces else ": it does not replace the transforms"
        lines.append(f"{found.a} ({found.class_ or 'no output'}): {word}{ending}")
    return lines


def _conclusions(result: BenchResult) -> list[tuple[str, object]]:
    best, pairs = result.best, []
    if best is not None:
        setting = ", ".join(f"{head} {_shown(of(best))}" for head, of in AXES.items())
        speed = f"{count(best.images_per_s)} images/s"
        pairs.append(("best", f"{best.arm} ({best.class_}): {speed} at {setting}"))
    for arm in result.arms:
        for base, images in arm.break_even_images.items():
            if images is not None:
                spent = duration(arm.train_s)
                pairs.append(
                    ("break-even", f"{arm.name}: {spent} of training, saved after {count(images)} images"
                     f" against {base}")
                )  # fmt: skip
    notes = [f"{arm.name}: {arm.note}" for arm in result.arms if arm.note]
    return [*pairs, *_levels(result), *(("note", note) for note in notes)]


def _levels(result: BenchResult) -> list[tuple[str, object]]:
    """Of each arm that has output, the pixels of another 8-bit value than the reference's."""
    known = [(arm.name, arm.fidelity.levels) for arm in result.arms]
    return [
        ("8-bit values", f"{name}: {count(of.differing)} differ, {count(of.near_boundary)} near a boundary")
        for name, of in known
        if of and of.differing
    ]


def _cells(result: BenchResult) -> list[tuple[BenchArm, BenchCell]]:
    return [(arm, cell) for arm in result.arms for cell in arm.cells]


def varying(cells: Iterable[AtSetting]) -> list[str]:
    """The heads of the settings that differ between cells; the loops' single image does not count."""
    known = list(cells)
    return [
        head
        for head, of in AXES.items()
        if len({of(cell) for cell in known if head != "batch" or cell.batch_size != 1}) > 1
    ]


def _ratio(value: float | None) -> str:
    if value is None or math.isnan(value):
        return MISSING
    return count(value) if value >= 100 else f"{value:.3g}"


def _shown(value: object) -> object:
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value) if isinstance(value, float) else value


def _draw(result: BenchResult) -> Any:
    """Images per second: a line per arm over batch sizes, or bars where there is one batch size."""
    sizes = sorted({cell.batch_size for arm, cell in _cells(result) if _is_batched(arm)})
    return _draw_lines(result, sizes) if len(sizes) > 1 else _draw_bars(result)


def _is_batched(arm: BenchArm) -> bool:
    return arm.name not in ("reference-loop", "pil-loop")


def _draw_bars(result: BenchResult) -> Any:
    from matplotlib.ticker import FuncFormatter

    arms = [arm for arm in result.arms if arm.fastest.speed]
    figure = new_figure(8, 1.6 + 0.42 * len(arms))
    axes = figure.subplots()
    for place, arm in enumerate(reversed(arms)):
        cell = arm.fastest
        color = PALETTE[0] if arm.kind == "model" else GREY
        axes.barh(place, cell.speed, color=color, height=0.6)
        axes.text(cell.speed, place, f" {_ratio(cell.speedup)} × loop", va="center", fontsize=9)
    names = [f"{arm.name}\n{arm.fidelity.class_}" for arm in reversed(arms)]
    style_axes(axes, title="Images per second", x_label="images per second", y_label="")
    axes.set_yticks(range(len(arms)), names)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    speeds = [arm.fastest.speed for arm in arms]
    axes.set_xlim(min(speeds) / 2, max(speeds) * 4)
    return figure


def _draw_lines(result: BenchResult, sizes: Sequence[int]) -> Any:
    figure = new_figure(8, 4.4 + 0.1 * len(result.arms))
    axes = figure.subplots()
    values: list[float] = []
    lines = [
        (arm, device)
        for arm in result.arms
        for device in dict.fromkeys(cell.device for cell in arm.cells if cell.speed)
    ]
    several = len({device for _, device in lines}) > 1
    for place, (arm, device) in enumerate(lines):
        style: dict[str, Any] = {
            "color": PALETTE[place % len(PALETTE)],
            "linestyle": ("-", ":", "-.")[place // len(PALETTE) % 3],
            "label": f"{arm.name}, {arm.fidelity.class_}" + (f", {device}" if several else ""),
        }
        own = [cell for cell in arm.cells if cell.speed and cell.device == device]
        values += [cell.speed for cell in own]
        if not _is_batched(arm):
            axes.axhline(own[0].speed, **{**style, "linestyle": "--"})
            continue
        best = {
            size: max(cell.speed for cell in own if cell.batch_size == size)
            for size in sizes
            if any(cell.batch_size == size for cell in own)
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
