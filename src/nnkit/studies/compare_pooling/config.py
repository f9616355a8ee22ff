"""The configuration of `nnkit compare-pooling`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from nnkit.bucketing import old_spelling
from nnkit.errors import Mistake
from nnkit.options import (
    Count,
    Jobs,
    Limit,
    Option,
    PlaceConfig,
    Positive,
    Seeds,
    SharedBatches,
    SpecField,
    seed_mistakes,
)
from nnkit.spec import Spec
from nnkit.types import EXACT_SIZES


class ComparePoolingConfig(PlaceConfig):
    """The options of `nnkit compare-pooling`."""

    component_groups: ClassVar[Mapping[str, str]] = {
        "dataset": "datasets",
        "pooling": "poolings",
        "model": "models",
    }

    dataset: Annotated[SpecField, Option("Dataset")] = Spec("digits-varres")
    pooling: Annotated[tuple[SpecField, ...], Option("Pooling; repeatable")] = (Spec("max"), Spec("avg"))
    model: Annotated[SpecField, Option("A model that takes a pooling")] = Spec("varres-net")
    budget: Annotated[Count, Option("Parameters of each model")] = 29_066
    vary: Annotated[str, Option("The model's setting that is chosen to meet the budget")] = "width"
    seeds: Seeds = (0, 1, 2, 3, 4)
    epochs: Annotated[Count, Option("Epochs of each cell")] = 5
    lr: Annotated[Positive | None, Option("Learning rate", default="Adam's, 0.001")] = None
    batch_size: Annotated[Count, Option("Images per step")] = 64
    bucketing: SharedBatches = EXACT_SIZES
    precision: Annotated[Literal["fp32", "bf16"], Option("{choices}")] = "fp32"
    limit: Limit = None
    jobs: Annotated[Jobs, Option("Cells trained in parallel")] = 1
    out: Annotated[
        Path | None,
        Option(
            "The comparison's folder; a folder of this comparison is continued",
            default="new, under --runs-dir",
        ),
    ] = None

    def mistakes(self) -> list[Mistake]:
        """Settings that are no dataset's any more, and seeds that are given twice."""
        return old_spelling(self.dataset).mistakes() + seed_mistakes(self.seeds)
