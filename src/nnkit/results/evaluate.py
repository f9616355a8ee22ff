"""The result of `nnkit evaluate`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from nnkit.results.base import Number, Part, Result
from nnkit.results.metrics import SplitMetrics

Counts = tuple[tuple[int, ...], ...]
"""Images by true class (row) and predicted class (column), (K, K)."""


class ClassScores(Part):
    """One class: its images, and precision and recall, NaN where it has no predictions or no images."""

    name: str
    count: int
    precision: Number
    recall: Number


class EvaluateResult(Result):
    """How a model does on a split. `confusion` has "all" images, and each of several resolutions."""

    schema_name: Literal["nnkit.evaluate/1"] = Field(
        default="nnkit.evaluate/1", validation_alias="schema", serialization_alias="schema"
    )
    run_dir: Path
    dataset: str
    model: str
    split: str
    images: int
    metrics: SplitMetrics
    per_class: tuple[ClassScores, ...]
    class_names: tuple[str, ...]
    confusion: Mapping[str, Counts]
    seconds: float
