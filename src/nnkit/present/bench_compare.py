"""What became slower between two sides of benchmarks, as `nnkit bench compare` prints it."""

from __future__ import annotations

import math

from nnkit.present.bench import AXES, varying
from nnkit.present.layout import WIDTH, joined, key_values, table
from nnkit.present.text import MISSING, counted
from nnkit.results.bench_compare import BenchCompareResult, CellChange


def bench_compare_table(result: BenchCompareResult, *, width: int = WIDTH) -> str:
    """Each cell's change, or "different machine", and what could have been seen."""
    axes = varying(result.cells)
    rows = [
        [
            cell.arm,
            *(AXES[head](cell) for head in axes),
            f"{cell.change:.3f} [{cell.ci95[0]:.3f}, {cell.ci95[1]:.3f}]",
            *([_share(cell.smallest_visible_change)] if result.between_runs else []),
            _verdict(cell),
        ]
        for cell in result.cells
    ]
    visible = ["visible from"] if result.between_runs else []
    heads = ["arm", *axes, "time, b over a", *visible, "b is"]
    changes = table(rows, heads, align="n" + "r" * len(axes) + "n" + "r" * len(visible) + "l", width=width)
    return joined(changes, key_values(_notes(result), width=width))


def _verdict(cell: CellChange) -> str:
    said: str = "cannot tell at this load" if cell.verdict == "cannot tell" else cell.verdict
    if cell.gate == "cannot tell" and cell.verdict in ("slower", "faster"):
        said += ", how much cannot be told at this load"
    return ("regression: " if cell.regression else "") + said


def _notes(result: BenchCompareResult) -> list[tuple[str, object]]:
    notes: list[tuple[str, object]] = [
        (f"runs of {name}", ", ".join(map(str, runs)))
        for name, runs, given in (("a", result.runs_a, result.a), ("b", result.runs_b, result.b))
        if runs != (given,)
    ]
    notes.append(("spread between runs", _spread(result)))
    if result.between_runs:
        seen = [cell.smallest_visible_change for cell in result.cells]
        least = min((size for size in seen if not math.isnan(size)), default=math.nan)
        words = f"{_share(least)} in the steadiest cell, {_share(result.smallest_visible_change)} in all"
        notes.append(("smallest visible", words))
    if result.fail_above is not None:
        notes.append(("gate", f"{result.gate} (slower by more than {result.fail_above:.1%})"))
    notes += [("different machine", text) for text in result.differences]
    notes += [("only in a", text) for text in result.only_in_a]
    notes += [("only in b", text) for text in result.only_in_b]
    return notes


def _spread(result: BenchCompareResult) -> str:
    if result.between_runs:
        return f"of {counted(len(result.runs_a), 'run')} of a and {len(result.runs_b)} of b"
    return "not known from one run a side: intervals are of the rounds within these two runs alone"


def _share(value: float) -> str:
    return MISSING if math.isnan(value) else f"{value:.1%}"
