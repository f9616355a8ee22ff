"""When a run is saved: at each epoch's end, every so many steps or minutes, and when interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from nnkit import config as configuration
from nnkit import durations
from nnkit.runs import training_state, weights
from nnkit.runs.directory import RunDirectory
from nnkit.runs.training_state import RunProgress, SavedState
from nnkit.studies.train.experiment import Experiment
from nnkit.studies.train.resuming import fixed_settings
from nnkit.training.loop import TrainState, require_finite
from nnkit.training.observers import BestWeights, MetricsLog
from nnkit.types import EpochResult, StepResult


class Saver:
    """Writes the checkpoints of one run."""

    def __init__(
        self,
        folder: RunDirectory,
        x: Experiment,
        state: TrainState,
        best: BestWeights,
        log: MetricsLog,
        started: float,
    ) -> None:
        self._folder, self._x, self._state, self._best, self._log = folder, x, state, best, log
        self._started = started
        self._before_s = 0.0
        self._due = due_every(x.config.checkpoint_every)
        self._saved_at: tuple[int, int, bool] | None = None
        self._safe = self._seen = (state.epoch, state.step)
        self.stopped_by: str | None = None
        """Why training has ended; None while it goes on."""

    @property
    def seconds(self) -> float:
        """What the run has taken so far, in all processes that worked at it."""
        return self._before_s + time.perf_counter() - self._started

    def restore(self, saved: SavedState) -> None:
        """Put a checkpoint into the run's objects, and cut the log to where it was."""
        x, run = self._x, saved.run
        saved.restore(self._state, x.loss)
        for (_, rule), remembered in zip(x.rules, run.rules, strict=True):
            rule.load_state_dict(remembered["state"])
        if x.augment is not None and run.augment is not None:
            x.augment.load_state_dict(run.augment)
        self._log.restore(run.log_mark)
        if run.best["epoch"]:
            self._best.restore(run.best, dict(saved.best_weights))
        self._folder.checkpoints.forget_after(saved.path.parent.name)
        self._before_s = run.seconds
        self.stopped_by = run.stopped_by
        self._saved_at = self._place
        self._safe = self._seen = self._place[:2]

    @property
    def _place(self) -> tuple[int, int, bool]:
        return self._state.epoch, self._state.step, self._state.progress is None

    def after_step(self, step: StepResult) -> None:
        """Save where `--checkpoint-every` says so."""
        self._seen = self._place[:2]
        if self._due(step.step):
            self._save(None)

    def after_epoch(self, event: EpochResult) -> None:
        """Save, with the best weights where this epoch is the best so far."""
        self._seen = self._place[:2]
        x, best, model = self._x, self._best, self._state.eval_model
        write = None
        if best.offer(event, model):
            card = weights.describe(
                x.data,
                configuration.dump(x.config)["model"],
                epoch=event.epoch,
                monitor=best.monitor,
                metrics=event.metrics,
            )
            write = partial(weights.save, model=model, card=card)
        self._save(write)

    def loses_nothing(self) -> bool:
        """Whether to break off what is under way: no step, or the first after a checkpoint or the start."""
        return not self._state.in_step or self._place[:2] == self._safe

    def when_interrupted(self) -> None:
        """Save what no checkpoint holds yet, unless it is in the midst of a step or of an epoch's end."""
        whole = not self._state.in_step and self._place[:2] == self._seen
        if whole and self._saved_at != self._place:
            self._save(None)

    def _save(self, best: Callable[[Path], None] | None) -> None:
        require_finite(self._state)
        state, x, mark = self._state, self._x, self._log.sync()
        run = RunProgress(
            rules=[{"name": name, "state": rule.state_dict()} for name, rule in x.rules],
            best=self._best.state_dict(),
            log_bytes=mark.bytes,
            log_crc32=mark.crc32,
            seconds=self.seconds,
            stopped_by=self.stopped_by,
            settings=fixed_settings(x.config),
            epochs=x.config.epochs,
            augment=x.augment.state_dict() if x.augment is not None else None,
        )
        self._folder.checkpoints.save(
            state.epoch,
            state.step,
            state=lambda path: training_state.save(path, state, x.loss, run),
            best=best,
            keep=x.config.keep_checkpoints,
        )
        self._saved_at = self._place
        self._safe = self._place[:2]


def due_every(every: str | None) -> Callable[[int], bool]:
    """Whether to save after a step, by its number: each "100" steps, or each "30s", "5min" or "1h"."""
    if every is None:
        return lambda step: False
    if every.isdecimal():
        steps = int(every)
        return lambda step: step % steps == 0
    interval, last = durations.seconds(every), [time.monotonic()]

    def due(step: int) -> bool:
        now = time.monotonic()
        if now - last[0] < interval:
            return False
        last[0] = now
        return True

    return due
