"""The result of `nnkit bench compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from nnkit.results.base import Interval, Number, Result
from nnkit.results.bench import AtSetting, Verdict


class CellChange(AtSetting):
    """How one cell's time changed: b's over a's, in units of `reference-loop`; `verdict` is of b."""

    arm: str
    change: Number
    ci95: Interval
    verdict: Verdict | Literal["different machine"]
    regression: bool


class BenchCompareResult(Result):
    """How each cell's time changed from a to b. Without `same_machine` there are no verdicts."""

    schema_name: Literal["nnkit.bench-compare/1"] = Field(
        default="nnkit.bench-compare/1", validation_alias="schema", serialization_alias="schema"
    )
    a: Path
    b: Path
    same_machine: bool
    differences: tuple[str, ...]
    cells: tuple[CellChange, ...]
    only_in_a: tuple[str, ...]
    only_in_b: tuple[str, ...]
    fail_above: float | None
    regressions: int
