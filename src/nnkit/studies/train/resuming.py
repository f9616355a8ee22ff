"""`--resume`: what a run may change when it goes on, and what it must find again."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from nnkit import config as configuration
from nnkit import files
from nnkit.config import resolve
from nnkit.errors import CheckpointError, ConfigError, UsageError, quote
from nnkit.runs import training_state, weights
from nnkit.runs.checkpoints import Entry
from nnkit.runs.directory import PLACES, RunDirectory
from nnkit.runs.training_state import SavedState
from nnkit.studies import same_settings
from nnkit.studies.train.config import TrainConfig
from nnkit.studies.train.experiment import Experiment
from nnkit.studies.train.optimizing import is_over_all_steps
from nnkit.types import SPLITS, Data

logger = logging.getLogger("nnkit")

FREE = (
    "epochs", "test", "device", "threads", "data_root", "download", "checkpoint_every", "keep_checkpoints",
    "tracker",
    *PLACES,
)  # fmt: skip
"""What may differ from the run that is resumed: how long, where, and what is kept."""


def fixed_settings(config: TrainConfig) -> dict[str, Any]:
    """The settings of a complete configuration that a run keeps when it is resumed, as JSON has them."""
    kept = config.epochs if is_over_all_steps(config.schedule) else None
    plain = {key: value for key, value in configuration.dump(config).items() if key not in FREE}
    found: dict[str, Any] = files.strict({**plain, "epochs": kept})
    return found


def _as_written_now(then: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a checkpoint as this version writes them: an older one lacks some, or had one for many.

    Where one cannot be read any more, as they are.
    """
    given = {key: value for key, value in then.items() if value is not None}
    try:
        read = resolve(TrainConfig, given).config
    except ConfigError:
        return dict(then)
    return {**fixed_settings(read), "epochs": then.get("epochs")}


def check_config(folder: RunDirectory, saved: SavedState) -> None:
    """`CheckpointError` where config.toml is not what the checkpoint was trained with."""
    then = saved.run.settings and _as_written_now(saved.run.settings)
    now = fixed_settings(resolve(TrainConfig, {}, files=[folder.config_path]).config)
    # A setting that came later than the checkpoint was at its default.
    then = None if then is None else {**fixed_settings(TrainConfig()), **then}
    differences = [
        f"{key}: trained with {quote(then.get(key))}, the file has {quote(now.get(key))}"
        for key in sorted((then or {}).keys() | now.keys())
        if then is not None and then.get(key) != now.get(key)
    ]
    if differences:
        raise CheckpointError(
            f"{folder.config_path} was changed since the run was trained:\n  " + "\n  ".join(differences),
            hint="put the values back; for other settings start a new run",
        )


def check_settings(folder: RunDirectory, config: TrainConfig) -> None:
    """`UsageError` where more than `FREE` differs from the run's configuration, with the differences."""
    before = same_settings.check_settings(folder, config, free=FREE, done="trained")
    if config.epochs != before.epochs and is_over_all_steps(config.schedule):
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
    if x.device.type != "cpu" and not (x.device.type == "cuda" and x.config.deterministic):
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
    wrong: list[str] = []
    for entry, path in folder.checkpoints.states():
        try:
            folder.checkpoints.check(path)
            saved = training_state.read(path)
            folder.log.check(saved.run.log_mark)
            saved = replace(saved, best_weights=_best_weights(folder, entry, saved))
        except CheckpointError as error:
            wrong.append(error.message)
            continue
        for message in wrong:
            logger.warning("%s: the checkpoint before it is taken", message)
        return saved
    if wrong:
        raise CheckpointError(
            f"no checkpoint of {folder.path} is whole: {'; '.join(wrong)}",
            hint="train again: its config.toml repeats the run",
        )
    raise CheckpointError(
        f"{folder.path} holds no checkpoint to resume from",
        hint="the run ended before its first; `nnkit train --config` with its config.toml repeats it",
    )


def _best_weights(folder: RunDirectory, entry: Entry, saved: SavedState) -> Mapping[str, Tensor]:
    """The weights of the best epoch until a checkpoint; `CheckpointError` where they are gone or others."""
    epoch = saved.run.best["epoch"]
    if not epoch:
        return {}
    path = folder.checkpoints.weights_in(entry.best) if entry.best is not None else None
    if path is None or not path.is_file():
        raise CheckpointError(f"the best weights that belong to {saved.path} are gone")
    folder.checkpoints.check(path)
    if (found := weights.read_card(path).epoch) != epoch:
        raise CheckpointError(f"{path} holds the weights of epoch {found}, not of {epoch}, the best")
    return weights.read_tensors(path)


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
            f"{folder.path} is finished after {done} epochs ({saved.run.stopped_by}): nothing is left",
            hint="give more --epochs to go on",
        )


def goes_on(saved: SavedState, folder: RunDirectory, config: TrainConfig) -> SavedState:
    """The checkpoint, from which training goes on though it had ended where more epochs are asked for.

    What the checkpoint was made with counts: config.toml has what was asked for last, which a kill may have
    ended before any checkpoint.
    """
    before = saved.run.epochs if saved.run.epochs is not None else _epochs_before(folder, config)
    if config.epochs == before:
        return saved
    return replace(saved, run=replace(saved.run, stopped_by=None))


def _epochs_before(folder: RunDirectory, config: TrainConfig) -> int:
    found: Mapping[str, Any] = configuration.read_toml(folder.config_path)
    return int(found.get("epochs", config.epochs))
