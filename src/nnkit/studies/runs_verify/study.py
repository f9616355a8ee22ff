"""Train a run again in a folder that is then removed, and find where the two part."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nnkit.config import Resolved, resolve
from nnkit.errors import CheckpointError, DivergedError, GateError, InterruptedRun, UsageError
from nnkit.results.base import Document
from nnkit.results.environment import EnvironmentChange
from nnkit.results.runs_verify import FirstDifference, RunsVerifyResult
from nnkit.results.train import TrainResult
from nnkit.runs import provenance, training_state, weights
from nnkit.runs.directory import RunDirectory
from nnkit.runs.lines import read_records
from nnkit.runs.metrics_log import TIMES
from nnkit.studies.runs import RunsVerifyConfig, read_summary
from nnkit.studies.runs_verify import differences
from nnkit.studies.train import study as training
from nnkit.studies.train.config import TrainConfig
from nnkit.training.observers import Observer
from nnkit.types import SPLITS

_BY_THE_CLOCK = "time-limit"


def verify_run(config: RunsVerifyConfig, *, observers: Sequence[Observer] = ()) -> RunsVerifyResult:
    """Whether the run repeats itself to the bit. Nothing is written into its folder.

    A run that has not finished is compared up to its newest checkpoint's epoch. Stopping rules are left out:
    as many epochs are trained as the run had. `CheckpointError` (or the error of what is missing, exit 1)
    where the run cannot be repeated; `UsageError` for more `epochs` than it had.
    """
    started = time.perf_counter()
    run = RunDirectory.find(config.run, config.runs_dir)
    summary = _summary(run)
    asked = _settings(run, config)
    had = _num_epochs(run, summary)
    if config.epochs is not None and config.epochs > had:
        raise UsageError(f"{run.path} has {had} epochs to compare, not {config.epochs}", hint="give fewer")
    epochs = config.epochs or had
    _check_repeatable(run, config, had)
    whole = epochs == had
    with tempfile.TemporaryDirectory(prefix="nnkit-verify-", ignore_cleanup_errors=True) as folder:
        again = RunDirectory(Path(folder) / "run")
        changed: dict[str, Any] = {
            "out": again.path,
            "runs_dir": None,
            "resume": None,
            "stop": (),
            "checkpoint_every": None,
            "tracker": (),
        }
        changed |= {} if whole and summary is not None else {"test": False}
        asked = replace(asked, config=asked.config.model_copy(update=changed))
        repeated = _train(asked, run, epochs, observers)
        found = list(_differences(run, again, epochs, whole=whole))
        if whole and summary is not None and repeated is not None:
            found.append(("summary.json", differences.in_summaries(_numbers(summary), _numbers(repeated))))
        changes = [*_changes(run, again)]
        now = again.environment()
        not_exact = None if now.get("device") == "cpu" else now.get("resume_not_exact")
        if asked.config.on_oom == "shrink":
            changes += _other_parts(run, again)
            not_exact = not_exact or _why_shrunk(run, asked.config)
    return _result(run, epochs, found, tuple(changes), not_exact, time.perf_counter() - started)


def _summary(run: RunDirectory) -> TrainResult | None:
    """The summary of a training that is finished; `UsageError` for a comparison or a benchmark."""
    summary = read_summary(run)
    if run.cells() or not (summary is None or isinstance(summary, TrainResult)):
        hint = f"name one of its runs, as {run.cells()[0].path}" if run.cells() else "only trainings repeat"
        raise UsageError(f"{run.path} is no training", hint=hint)
    return summary if run.status().state == "finished" else None


def _settings(run: RunDirectory, config: RunsVerifyConfig) -> Resolved[TrainConfig]:
    """The run's own configuration, with the device and threads that it had unless others are asked for."""
    if not run.config_path.is_file():
        raise CheckpointError(f"{run.path} has no config.toml, so it cannot be repeated")
    had = run.environment()
    options: dict[str, Any] = {
        "device": config.device or had.get("device"),
        "threads": config.threads or had.get("threads"),
        "data_root": config.data_root,
        "download": config.download or None,
    }
    with _cannot_be_repeated(run):
        return resolve(
            TrainConfig, {k: v for k, v in options.items() if v is not None}, files=[run.config_path]
        )


@contextlib.contextmanager
def _cannot_be_repeated(run: RunDirectory) -> Iterator[None]:
    """What is wrong with the run's own configuration here is no mistake of who verifies it."""
    try:
        yield
    except UsageError as error:
        raise CheckpointError(f"{run.path} cannot be repeated: {error.message}", hint=error.hint) from error


def _num_epochs(run: RunDirectory, summary: TrainResult | None) -> int:
    """How many whole epochs there are to compare."""
    logged = len(run.epochs())
    states = run.checkpoints.states()
    saved = states[0][0].epoch if states else 0
    if summary is not None:
        return max(summary.epochs, saved, logged)
    epochs = saved or logged  # a run that was killed may have logged an epoch that it had not saved
    if not epochs:
        raise CheckpointError(f"{run.path} has no whole epoch to compare")
    return epochs


def _check_repeatable(run: RunDirectory, config: RunsVerifyConfig, epochs: int) -> None:
    """`CheckpointError` for a run that the clock ended."""
    reason = run.status().reason or ""
    if config.epochs is None and _BY_THE_CLOCK in reason:
        raise CheckpointError(
            f"{run.path} cannot be repeated: the rule {_BY_THE_CLOCK} ended it by the clock, so its "
            "config.toml does not say after how many epochs",
            hint=f"--epochs {epochs} compares the epochs that it had",
        )


def _train(
    asked: Resolved[TrainConfig], run: RunDirectory, epochs: int, observers: Sequence[Observer]
) -> TrainResult | None:
    """The repetition's result; None where it diverged. torch has as many threads as before."""
    threads = torch.get_num_threads()
    try:
        with _cannot_be_repeated(run):
            return training.train(asked, observers=observers, advise=False, last_epoch=epochs).result
    except DivergedError:  # the run has this epoch, so what the log lacks is the difference
        return None
    except InterruptedRun as error:
        error.hint = "nothing is kept of it: verify again"
        raise
    finally:
        torch.set_num_threads(threads)


Found = tuple[str, FirstDifference | None]


def _differences(run: RunDirectory, again: RunDirectory, epochs: int, *, whole: bool) -> Iterator[Found]:
    """Each thing that is compared, and where it first differs."""
    yield "metrics.jsonl", differences.in_records(_records(run, epochs), _records(again, epochs))
    if not whole:
        return
    best = run.checkpoints.best()
    if best is not None:
        other = again.checkpoints.best()
        repeated = weights.read_tensors(other) if other is not None else {}
        epoch = weights.read_card(best).epoch
        yield "best", differences.in_tensors("best", epoch, weights.read_tensors(best), repeated)
    states = run.checkpoints.states()
    if states and states[0][0].epoch == epochs:
        stored = _last_weights(run)
        if stored is not None:
            yield "last", differences.in_tensors("last", epochs, stored, _last_weights(again) or {})


def _parts(run: RunDirectory) -> dict[str, int]:
    """Into how many parts the run had to split its batches in the end; empty without a checkpoint."""
    states = run.checkpoints.states()
    if not states:
        return {}
    parts = training_state.read(states[0][1]).parts
    return {"training": int(parts["parts"]), "evaluation": int(parts["eval_parts"])}


def _why_shrunk(run: RunDirectory, config: TrainConfig) -> str | None:
    """Why a run that ran out of memory and went on in smaller parts is not promised to repeat itself."""
    planned = {"training": config.accumulate, "evaluation": 1}
    shrunk = [
        f"{number} parts of a {what} batch" for what, number in _parts(run).items() if number > planned[what]
    ]
    return f"memory ran out: {', '.join(shrunk)}, from some step on" if shrunk else None


def _last_weights(run: RunDirectory) -> dict[str, torch.Tensor] | None:
    """The weights in the newest checkpoint; None where it stands within an epoch, or there is none."""
    states = run.checkpoints.states()
    if not states:
        return None
    parts = training_state.read(states[0][1]).parts
    return dict(parts["model"]) if parts["progress"] is None else None


def _records(run: RunDirectory, epochs: int) -> list[Document]:
    """The log up to an epoch's end, without times."""
    return [
        {key: value for key, value in record.items() if key not in TIMES}
        for record in read_records(run.log_path)
        if isinstance(epoch := record.get("epoch"), int) and epoch <= epochs
    ]


def _numbers(result: TrainResult) -> Document:
    """What a summary says beside the log: the best epoch, the test metrics, the size of the model."""
    document = result.document()
    return {key: document[key] for key in ("best", "test", "parameters", "epochs") if key in document}


def _changes(run: RunDirectory, again: RunDirectory) -> tuple[EnvironmentChange, ...]:
    """What may be the cause of a difference: libraries, threads, devices, and other images."""
    stored, now = run.environment(), again.environment()
    found = [*provenance.changes_within(stored), *provenance.changes(stored, now), *_other_images(run, again)]
    return tuple(dict.fromkeys(found))


def _other_parts(run: RunDirectory, again: RunDirectory) -> Iterator[EnvironmentChange]:
    before, after = _parts(run), _parts(again)
    for what in before.keys() & after.keys():
        if before[what] != after[what]:
            yield EnvironmentChange(
                name=f"parts of a {what} batch", before=str(before[what]), after=str(after[what])
            )


def _other_images(run: RunDirectory, again: RunDirectory) -> Iterator[EnvironmentChange]:
    before, after = run.splits() or {}, again.splits() or {}
    for name in SPLITS:
        if name in before and name in after and not np.array_equal(before[name], after[name]):
            number, other = len(before[name]), len(after[name])
            yield EnvironmentChange(
                name=f"split {name}",
                before=f"{number:,} images",
                after=f"{other:,} {'others' if other == number else 'images'}",
            )


def _result(
    run: RunDirectory,
    epochs: int,
    found: Sequence[Found],
    changes: tuple[EnvironmentChange, ...],
    not_exact: str | None,
    seconds: float,
) -> RunsVerifyResult:
    of_weights = [difference for place, difference in found if place in ("best", "last")]
    of_metrics = [difference for place, difference in found if place not in ("best", "last")]
    parted = [difference for _, difference in found if difference is not None]
    # in the order in which training came by them
    first = min(parted, key=lambda each: each.epoch if each.epoch is not None else epochs + 1, default=None)
    return RunsVerifyResult(
        run_dir=str(run.path),
        equal=first is None,
        weights_equal=not any(of_weights) if of_weights else None,
        metrics_equal=not any(of_metrics),
        first_difference=first,
        epochs=epochs,
        compared=tuple(place for place, _ in found),
        environment_changes=changes,
        not_exact=not_exact,
        seconds=seconds,
    )


def check_equal(result: RunsVerifyResult) -> None:
    """`GateError` where the run and its repetition differ."""
    first = result.first_difference
    if first is None:
        return
    where = [f"{name} {number}" for name, number in (("epoch", first.epoch), ("step", first.step)) if number]
    causes = [each.name for each in result.environment_changes[:3]]
    raise GateError(
        f"{result.run_dir} does not repeat itself: {', '.join([first.place, *where])}: {first.key}",
        hint=f"what differs here: {', '.join(causes)}" if causes else result.not_exact or "",
    )
