"""The result of `nnkit runs verify`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nnkit.results.base import Part, Result
from nnkit.results.environment import EnvironmentChange

Value = float | int | str | None
"""A logged value, or one of a tensor; None for one that is not there or not finite."""
Place = Literal["metrics.jsonl", "best", "last", "summary.json"]
"""The log, the best weights, those of the newest checkpoint, the summary."""


class FirstDifference(Part):
    """Where a run and its repetition part. `key` is dotted, as "metrics.val_loss" or "conv.weight[0, 2]".

    `epoch` and `step` count from 1; None where the place has none.
    """

    place: Place
    epoch: int | None
    step: int | None
    key: str
    stored: Value
    repeated: Value


class RunsVerifyResult(Result):
    """Whether a run, trained again from its own configuration, gives the same bits; times are not compared.

    `weights_equal` is None where the weights are those of more epochs than `epochs`, which were compared.
    `compared` says what was. `environment_changes` is what differs between the run's environment, or parts of
    the run, and this one; `not_exact` why such a run is not promised to repeat itself.
    """

    schema_name: Literal["nnkit.runs-verify/1"] = Field(
        default="nnkit.runs-verify/1", validation_alias="schema", serialization_alias="schema"
    )
    run_dir: str
    equal: bool
    weights_equal: bool | None
    metrics_equal: bool
    first_difference: FirstDifference | None
    epochs: int
    compared: tuple[str, ...]
    environment_changes: tuple[EnvironmentChange, ...]
    not_exact: str | None = None
    seconds: float
