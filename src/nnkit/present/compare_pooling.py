"""A comparison of poolings as a table, and as a picture of every seed with its means and intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nnkit.present import drawing
from nnkit.present.layout import WIDTH, fits, joined, key_values, table
from nnkit.present.text import MISSING, count, counted, percent, shorten
from nnkit.results.base import Interval
from nnkit.results.compare_pooling import Accuracy, ComparePoolingResult, Comparison, FailedCell, PoolingRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ALL = "all"
_SPREAD = 0.24
"""The distance between the poolings of one resolution, in columns."""


def comparison_table(result: ComparePoolingResult, *, width: int = WIDTH) -> str:
    """What `compare-pooling` finds: a row per pooling, the verdict on each pair, the winner if there is one.

    Accuracies are test accuracies, means over the seeds; differences are in percentage points.
    """
    seeds = result.seeds
    pairs = [
        ("run", result.run_dir),
        ("dataset", result.dataset),
        ("model", f"{result.model} at {count(result.budget)} parameters"),
        ("training", f"{counted(result.epochs, 'epoch')}, {counted(len(seeds), 'seed')}"),
    ]
    parts = [key_values(pairs, width=width), _rows(result, width), _by_resolution(result, width)]
    parts += [_pairs(result.comparisons, width), _failures(result.failed, width)]
    parts.append(key_values([("winner", result.winner or _no_winner(result))], width=width))
    return joined(*parts)


def write_comparison(folder: Path, result: ComparePoolingResult) -> list[Path]:
    """Write comparison.png and comparison.csv: each seed's test accuracy, means and 95 % intervals.

    At the left all images, each seed's runs joined by a line; at the right each resolution, where there are
    several. Without a finished cell nothing is written and the list is empty.
    """
    rows = [row for row in result.results if row.accuracy.mean is not None]
    if not rows:
        return []
    resolutions = list(dict.fromkeys(key for row in rows for key in row.by_resolution))
    panels = 2 if resolutions else 1
    figure = drawing.new_figure(1.2 + 4.9 * panels, 4.4)
    _draw_seeds(figure.add_subplot(1, panels, 1), rows, result.seeds)
    if resolutions:
        _draw_resolutions(figure.add_subplot(1, panels, 2), rows, resolutions)
    return [
        drawing.save_figure(figure, folder / "comparison.png"),
        _save_data(result, folder / "comparison.csv"),
    ]


def _rows(result: ComparePoolingResult, width: int) -> str:
    rows: list[list[object]] = [
        [
            row.pooling,
            row.value,
            row.parameters,
            percent(row.accuracy.mean),
            _interval(row.accuracy.ci95, _share, " %"),
            _few(row.accuracy.ci95, row.accuracy.values, _share, " %"),
        ]
        for row in result.results
    ]
    heads = ["pooling", result.vary, "parameters", "accuracy", "95 % interval", "values"]
    return _with_few_values(rows, heads, [row.accuracy.ci95 for row in result.results], "nrrrnn", width)


def _by_resolution(result: ComparePoolingResult, width: int) -> str:
    results = result.results
    resolutions = list(dict.fromkeys(key for row in results for key in row.by_resolution))
    if not resolutions:
        return ""
    across = [
        [row.pooling, *(percent(_mean(row.by_resolution.get(key))) for key in resolutions)] for row in results
    ]
    heads, align = ["pooling", *resolutions], "n" + "r" * len(resolutions)
    if fits(across, heads, align, width):
        return table(across, heads, align=align, width=width)
    down = [[key, *(percent(_mean(row.by_resolution.get(key))) for row in results)] for key in resolutions]
    names = [shorten(row.pooling, 20) for row in results]
    return table(down, ["resolution", *names], align="n" + "r" * len(names), width=width)


def _pairs(comparisons: Sequence[Comparison], width: int) -> str:
    rows: list[list[object]] = [
        [
            f"{pair.a} − {pair.b}",
            MISSING if pair.difference is None else _points(pair.difference),
            _interval(pair.ci95, _points),
            pair.verdict,
            _few(pair.ci95, pair.differences, _points),
        ]
        for pair in comparisons
    ]
    heads = ["pair", "points", "95 % interval", "verdict", "values"]
    known = [pair.ci95 for pair in comparisons]
    return _with_few_values(rows, heads, known, "nrnln", width) if rows else ""


def _with_few_values(
    rows: list[list[object]],
    heads: list[str],
    intervals: Sequence[Interval | None],
    align: str,
    width: int,
) -> str:
    """The last column, of values that are too few for an interval, is there where any row has such."""
    if all(intervals):
        rows, heads, align = [row[:-1] for row in rows], heads[:-1], align[:-1]
    elif not any(intervals):
        keep = [place for place, head in enumerate(heads) if head not in ("95 % interval", "verdict")]
        rows = [[row[place] for place in keep] for row in rows]
        heads, align = [heads[place] for place in keep], "".join(align[place] for place in keep)
    return table(rows, heads, align=align, width=width)


def _failures(failed: Sequence[FailedCell], width: int) -> str:
    return key_values([(f"failed: {row.pooling}, seed {row.seed}", row.error) for row in failed], width=width)


def _no_winner(result: ComparePoolingResult) -> str:
    if len(result.results) < 2:
        return "none: there is only one pooling"
    if all(pair.ci95 is None for pair in result.comparisons):
        return "none: an interval needs at least three seeds"
    return "none: no pooling is shown to be better than every other"


def _mean(described: Accuracy | None) -> float | None:
    return described.mean if described else None


def _points(difference: float) -> str:
    return f"{100 * difference:+.2f}"


def _share(share: float) -> str:
    return f"{100 * share:.2f}"


def _interval(ends: Interval | None, show: Callable[[float], str], unit: str = "") -> str:
    return MISSING if ends is None else f"{show(ends[0])} to {show(ends[1])}{unit}"


def _few(
    interval: Interval | None, values: Sequence[float | None], show: Callable[[float], str], unit: str = ""
) -> str:
    """The values that are too few for an interval."""
    known = [show(value) for value in values if value is not None]
    return f"{', '.join(known)}{unit}" if known and interval is None else MISSING


def _draw_seeds(axes: Axes, rows: Sequence[PoolingRow], seeds: Sequence[int]) -> None:
    """All poolings side by side: a line joins what one seed came to with each."""
    title = f"Test accuracy, {counted(len(seeds), 'seed')}"
    drawing.style_axes(axes, title=title, x_label="pooling (parameters)", y_label="accuracy (%)")
    places = range(len(rows))
    for at in range(len(seeds)):
        values = _percents([row.accuracy.values[at] for row in rows])
        label = "a seed's runs" if at == 0 else None
        axes.plot(places, values, color="#B8B8B8", linewidth=0.9, marker="o", markersize=3.5, label=label)
    for place, row in enumerate(rows):
        _draw_mean(axes, place, row.accuracy, place, "mean, 95 % interval" if place == 0 else None)
    names = [f"{shorten(row.pooling, 18)}\n({count(row.parameters)})" for row in rows]
    axes.set_xticks(list(places), names)
    axes.set_xlim(-0.5, len(rows) - 0.5)
    _legend(axes)


def _draw_resolutions(axes: Axes, rows: Sequence[PoolingRow], resolutions: Sequence[str]) -> None:
    drawing.style_axes(
        axes, title="Test accuracy by resolution", x_label="height × width (pixels)", y_label="accuracy (%)"
    )
    for place, row in enumerate(rows):
        shift = _SPREAD * (place - (len(rows) - 1) / 2) * min(1, 3 / len(rows))
        for at, key in enumerate(resolutions):
            described = row.by_resolution.get(key)
            if described is None:
                continue
            label = shorten(row.pooling, 18) if at == 0 else None
            values = _percents(described.values)
            # Beside the interval, which would hide them.
            axes.plot([at + shift - 0.06] * len(values), values, ".", color="#9A9A9A", markersize=5)
            _draw_mean(axes, at + shift, described, place, label)
    axes.set_xticks(range(len(resolutions)), [key.replace("x", "×") for key in resolutions])
    axes.set_xlim(-0.5, len(resolutions) - 0.5)
    _legend(axes)


def _draw_mean(axes: Axes, at: float, described: Accuracy, place: int, label: str | None) -> None:
    if described.mean is None:
        return
    mean, ends = 100 * described.mean, described.ci95
    error = [[mean - 100 * ends[0]], [100 * ends[1] - mean]] if ends else None
    color = drawing.PALETTE[place % len(drawing.PALETTE)]
    marker = drawing.MARKERS[place % len(drawing.MARKERS)]
    axes.errorbar(
        [at], [mean], yerr=error, fmt=marker, color=color, markersize=7, capsize=5, linewidth=1.8, label=label
    )  # fmt: skip


def _legend(axes: Axes) -> None:
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.24), ncols=4, fontsize=9, frameon=False, handlelength=1.8
    )  # fmt: skip


def _percents(values: Sequence[float | None]) -> list[float]:
    return [100 * value for value in drawing.finite_or_gap(values)]


def _save_data(result: ComparePoolingResult, path: Path) -> Path:
    """A line per pooling and resolution ("all" for all images): mean, interval, and each seed's accuracy."""
    seeds = result.seeds
    header = ["pooling", "parameters", "resolution", "mean", "ci95_low", "ci95_high"]
    lines = []
    for row in result.results:
        for key, described in {_ALL: row.accuracy, **row.by_resolution}.items():
            ends = described.ci95 or (None, None)
            values = [None if value is None or math.isnan(value) else value for value in described.values]
            lines.append([row.pooling, row.parameters, key, described.mean, *ends, *values])
    return drawing.save_csv([*header, *(f"seed_{seed}" for seed in seeds)], lines, path)
