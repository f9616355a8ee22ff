"""The result of `nnkit train --seeds`: one training per seed, and what they come to together."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from nnkit.results.base import Interval, Number, Part, Result
from nnkit.results.metrics import SplitMetrics
from nnkit.results.train import Best


class OverSeeds(Part):
    """A `metric`: its values in the order of the seeds, None for a run that failed; mean and 95 % interval.

    `ci95` is None for fewer than three values, `mean` for none; both also where a value is not finite.
    """

    metric: str
    mean: float | None
    ci95: Interval | None
    values: tuple[float | None, ...]


class SeedRun(Part):
    """The run of one seed. `test` is None where the test split was left alone, or there is none."""

    seed: int
    run_dir: Path
    epochs: int
    stopped_by: str
    best: Best
    test: SplitMetrics | None
    seconds: Number


class FailedSeed(Part):
    """A seed whose training failed, and the exit code that its error would have had."""

    seed: int
    error: str
    exit_code: int


class TrainSeedsResult(Result):
    """What trainings that differ in their seed alone came to.

    `runs` are those that finished, `failed` the others. `validation` is the monitored metric, such as
    "val_accuracy", at each run's best epoch; `test` is the same metric on the test split, None where no run
    looked at it. `parameters` is None where no run finished. `seconds` adds up those of the runs.
    """

    schema_name: Literal["nnkit.train-seeds/1"] = Field(
        default="nnkit.train-seeds/1", validation_alias="schema", serialization_alias="schema"
    )
    run_dir: Path
    dataset: str
    model: str
    loss: str
    parameters: int | None
    seeds: tuple[int, ...]
    runs: tuple[SeedRun, ...]
    validation: OverSeeds
    test: OverSeeds | None
    failed: tuple[FailedSeed, ...]
    seconds: float
