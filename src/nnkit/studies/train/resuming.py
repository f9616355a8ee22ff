"""`--resume`: what a run may change when it goes on, and what it must find again."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from nnkit import config as configuration
from nnkit.errors import CheckpointError, UsageError
from nnkit.runs import training_state
from nnkit.runs.directory import PLACES, RunDirectory
from nnkit.runs.training_state import SavedState
from nnkit.studies import same_settings
from nnkit.studies.train.config import TrainConfig
from nnkit.studies.train.experiment import Experiment
from nnkit.types import SPLITS, Data

logger = logging.getLogger("nnkit")

FREE = (
    "epochs", "test", "device", "threads", "data_root", "download", "checkpoint_every", "keep_checkpoints",
    *PLACES,
)  # fmt: skip
"""What may differ from the run that is resumed: how long, where, and what is kept."""
OVER_ALL_STEPS = ("cosine", "one-cycle")
"""The schedules whose learning rate at a step depends on how many steps there are."""


def check_settings(folder: RunDirectory, config: TrainConfig) -> None:
    """`UsageError` where more than `FREE` differs from the run's configuration, with the differences."""
    before = same_settings.check_settings(folder, config, free=FREE, done="trained")
    if config.epochs != before.epochs and config.schedule in OVER_ALL_STEPS:
        raise UsageError(
            f"the schedule {config.schedule} ends with epoch {before.epochs}: it cannot go on to epoch "
            f"{config.epochs}",
            hint="resume with as many epochs as before, or start a new run with more",
        )


def check_data(folder: RunDirectory, data: Data) -> None:
    """`UsageError` unless the splits hold the images that the run was trained on."""
    before = folder.splits()
    if before is None:
        raise CheckpointError(f"{folder.path} does not say which images were in which split")
    for name in SPLITS:
        if not np.array_equal(before.get(name, np.empty(0)), data.splits[name].indices):
            raise UsageError(
                f"the split {name} is not the one that the run was trained on: it had "
                f"{len(before.get(name, ())):,} images, now there are {len(data.splits[name]):,}",
                hint="resume with the data as it was, or start a new run",
            )


def why_not_exact(x: Experiment) -> str | None:
    """Why the run, broken off and resumed, is not promised to equal one that was not, to the bit."""
    if x.device.type != "cpu":
        return f"on {x.device.type} some kernels add up in any order"
    if x.config.compile:
        plan = x.train.plan(epoch=1, seed=x.config.seed, order=x.config.order)
        if len({(batch.height, batch.width, len(batch)) for batch in plan}) > 1:
            return "compiled, with batches of several shapes: which kernels are made depends on their order"
    return None


def read_newest(folder: RunDirectory) -> SavedState:
    """The newest checkpoint that is whole; a warning names each that is damaged.

    `CheckpointError` where there is none.
    """
    states = folder.checkpoints.states()
    for entry, path in states:
        try:
            saved = training_state.read(path)
            if entry.best is not None and not folder.checkpoints.weights_in(entry.best).is_file():
                raise CheckpointError(f"{path} belongs to the best weights of {entry.best}, which are gone")
        except CheckpointError as error:
            logger.warning("%s: the checkpoint before it is taken", error.message)
        else:
            return saved
    if states:
        raise CheckpointError(
            f"no checkpoint of {folder.path} is whole", hint="train again: its config.toml repeats the run"
        )
    raise CheckpointError(
        f"{folder.path} holds no checkpoint to resume from",
        hint="the run ended before its first; `nnkit train --config` with its config.toml repeats it",
    )


def check_something_left(folder: RunDirectory, saved: SavedState, config: TrainConfig) -> None:
    """`UsageError` for a run that is finished and would do nothing."""
    done = int(saved.parts["epoch"])
    if config.epochs < done:
        raise UsageError(
            f"{folder.path} has trained {done} epochs already, --epochs asks for {config.epochs}",
            hint=f"give more than {done}, or leave --epochs out",
        )
    if folder.status().state == "finished" and config.epochs == _epochs_before(folder, config):
        raise UsageError(
            f"{folder.path} is finished after {done} epochs ({saved.beside.stopped_by}): nothing is left",
            hint="give more --epochs to go on",
        )


def goes_on(saved: SavedState, folder: RunDirectory, config: TrainConfig) -> SavedState:
    """The checkpoint, from which training goes on though it had ended where more epochs are asked for."""
    if config.epochs == _epochs_before(folder, config):
        return saved
    return replace(saved, beside=replace(saved.beside, stopped_by=None))


def _epochs_before(folder: RunDirectory, config: TrainConfig) -> int:
    found: Mapping[str, Any] = configuration.read_toml(folder.config_path)
    return int(found.get("epochs", config.epochs))
