"""What became slower between two benchmarks, as `nnkit bench compare` prints it."""

from __future__ import annotations

from nnkit.present.bench import AXES, varying
from nnkit.present.layout import WIDTH, joined, key_values, table
from nnkit.results.bench_compare import BenchCompareResult


def bench_compare_table(result: BenchCompareResult, *, width: int = WIDTH) -> str:
    """Each cell's change, or "different machine"."""
    axes = varying(result.cells)
    rows = [
        [
            cell.arm,
            *(AXES[head](cell) for head in axes),
            f"{cell.change:.3f} [{cell.ci95[0]:.3f}, {cell.ci95[1]:.3f}]",
            ("regression: " if cell.regression else "") + cell.verdict,
        ]
        for cell in result.cells
    ]
    notes = [("different machine", text) for text in result.differences]
    notes += [("only in a", text) for text in result.only_in_a]
    notes += [("only in b", text) for text in result.only_in_b]
    heads = ["arm", *axes, "time, b over a", "b is"]
    changes = table(rows, heads, align="n" + "r" * len(axes) + "nl", width=width)
    return joined(changes, key_values(notes, width=width))
