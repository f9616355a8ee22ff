"""The results of `nnkit runs list` and `nnkit runs show`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from nnkit.results.base import Number, Part, Result
from nnkit.results.bench import BenchResult
from nnkit.results.compare_pooling import ComparePoolingResult
from nnkit.results.environment import EnvironmentChange
from nnkit.results.train import TrainResult
from nnkit.results.train_seeds import TrainSeedsResult
from nnkit.runs.status import Status

Summary: TypeAlias = Annotated[
    TrainResult | TrainSeedsResult | ComparePoolingResult | BenchResult, Field(discriminator="schema_name")
]
"""What a summary.json holds: the result of the command that made the run."""


class RunRow(Part):
    """One run in the list. `best` is the value of `metric`; `winner` is a comparison's.

    Of a training with several seeds, `seeds` is how many finished, `best` their mean, and `epochs` the most
    that one of them took.
    """

    name: str
    path: str
    state: str
    reason: str | None
    dataset: str | None
    model: str | None
    metric: str | None
    best: Number | None
    epochs: int | None
    seconds: Number | None
    started: str | None
    winner: str | None = None
    seeds: int | None = None


class RunsResult(Result):
    """The runs under a folder, newest first."""

    schema_name: Literal["nnkit.runs/1"] = Field(
        default="nnkit.runs/1", validation_alias="schema", serialization_alias="schema"
    )
    runs_dir: str
    runs: tuple[RunRow, ...]


class EpochRecord(Part):
    """One epoch of metrics.jsonl; see `nnkit.types.EpochResult`."""

    kind: Literal["epoch"]
    epoch: int
    step: int | None = None
    metrics: Mapping[str, Number]
    learning_rate: Number | None = None
    by_resolution: Mapping[str, Mapping[str, Number]] | None = None
    train_s: Number | None = None
    data_wait_s: Number | None = None
    seconds: Number | None = None
    images_per_s: Number | None = None


class SavedCheckpoints(Part):
    """The checkpoints of a training: how many there are, where the newest stands, the bytes of all.

    `not_exact` says why a resumed run is not promised to equal one that was not broken off to the bit.
    """

    number: int
    epoch: int
    step: int
    bytes: int
    not_exact: str | None = None


class RunResult(Result):
    """One run. `summary` and `config` are None where the run has none; `files` are relative to `run_dir`.

    `resume` is the command that goes on with a run that was broken off. `environment_changes` is what changed
    between the parts of a run that was resumed.
    """

    schema_name: Literal["nnkit.run/1"] = Field(
        default="nnkit.run/1", validation_alias="schema", serialization_alias="schema"
    )
    run_dir: str
    status: Status
    summary: Summary | None
    config: str | None
    epochs: tuple[EpochRecord, ...]
    files: tuple[str, ...]
    checkpoints: SavedCheckpoints | None = None
    resume: str | None = None
    environment_changes: tuple[EnvironmentChange, ...] = ()
