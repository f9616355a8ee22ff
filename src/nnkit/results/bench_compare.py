"""The result of `nnkit bench compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from nnkit.results.base import Interval, Number, Result
from nnkit.results.bench import AtSetting, Verdict

Gate = Literal["passed", "failed", "cannot tell"]


class CellChange(AtSetting):
    """How one cell's time changed: b's over a's, in units of `reference-loop`; `verdict` is of b.

    `ci95` is of the spread between `num_runs_a` and `num_runs_b` runs, or where the result has no
    `between_runs`, of the rounds within the one run of each side. "cannot tell": no difference is shown, and
    the interval is too wide to show one that matters. `gate` is None without `fail_above`; a `regression` is
    a cell that fails it: its whole interval lies above 1 + `fail_above`, and `p_holm`, one-sided and adjusted
    for the number of cells by Holm's method, is under 0.05. `smallest_visible_change` is the share by which b
    has to be slower to be told so (with `fail_above`: to fail the gate). It and `p_holm` are NaN where the
    spread between runs is not known.
    """

    arm: str
    change: Number
    ci95: Interval
    verdict: Verdict | Literal["different machine", "cannot tell"]
    regression: bool
    gate: Gate | None = Field(...)
    num_runs_a: int
    num_runs_b: int
    smallest_visible_change: Number
    p_holm: Number


class BenchCompareResult(Result):
    """How each cell's time changed from a to b. Without `same_machine` there are no verdicts.

    `between_runs`: whether the spread between runs is known, which takes more than one run of a side.
    `smallest_visible_change` is that of the noisiest cell. `gate` is None without `fail_above`.
    """

    schema_name: Literal["nnkit.bench-compare/1"] = Field(
        default="nnkit.bench-compare/1", validation_alias="schema", serialization_alias="schema"
    )
    a: Path
    b: Path
    runs_a: tuple[Path, ...]
    runs_b: tuple[Path, ...]
    between_runs: bool
    same_machine: bool
    differences: tuple[str, ...]
    cells: tuple[CellChange, ...]
    only_in_a: tuple[str, ...]
    only_in_b: tuple[str, ...]
    min_effect: float
    smallest_visible_change: Number
    fail_above: float | None
    regressions: int
    gate: Gate | None = Field(...)
