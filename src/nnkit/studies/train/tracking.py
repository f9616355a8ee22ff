"""The trackers of a run: each mirrors the record to another place, and none can change the run or end it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import torch

from nnkit import config as configuration
from nnkit.build import plan
from nnkit.errors import InterruptedRun, PluginError
from nnkit.runs.directory import PLACES, RunDirectory
from nnkit.spec import Spec
from nnkit.studies.train.config import TrainConfig
from nnkit.types import EpochResult, StepResult, TrackedEvent, TrackedResult, TrackedRun, Tracker

logger = logging.getLogger("nnkit")


class Tracking:
    """An observer that hands steps, epochs and figures to trackers.

    A tracker that raises is left out from then on, with one warning. The losses of steps are read when their
    epoch ends: one synchronisation for all.
    """

    def __init__(self, specs: Sequence[Spec]) -> None:
        self._trackers: list[tuple[str, Tracker]] = []
        for spec in specs:
            try:
                self._trackers.append((str(spec), plan("trackers", spec, path="tracker").make()))
            except PluginError as error:
                logger.warning("the run goes on without the tracker %s: %s", spec, error.message)
        self._steps: list[StepResult] = []
        self._last = (0, 0)
        self.summary: Mapping[str, Any] | None = None

    def start(self, run: TrackedRun) -> None:
        """Begin with each tracker."""
        self._each("start", lambda tracker: tracker.start(run))

    def on_step(self, step: StepResult) -> None:
        """Keep the step until its epoch ends."""
        if self._trackers:
            self._steps.append(step)

    def on_epoch(self, epoch: EpochResult) -> None:
        """Log the steps that wait, and the epoch."""
        self._flush()
        self._last = epoch.step, epoch.epoch
        values = {**epoch.metrics, "images_per_s": epoch.images_per_s, "epoch_s": epoch.seconds}
        self._log(TrackedEvent("epoch", *self._last, values))

    def done(self, folder: RunDirectory, summary: Mapping[str, Any]) -> None:
        """Hand over each picture of a run that is done, and keep its summary for the end."""
        self.summary = summary
        if self._trackers:
            for path in sorted(folder.figures.glob("*.png")):
                self._log(TrackedEvent("figure", *self._last, figure=path))

    def finish(self, state: Literal["finished", "interrupted", "failed"]) -> None:
        """Log the steps that wait, and end each tracker."""
        self._flush()
        result = TrackedResult(state, self.summary if state == "finished" else None)
        self._each("finish", lambda tracker: tracker.finish(result))

    def _flush(self) -> None:
        steps, self._steps = self._steps, []
        losses = torch.stack([step.loss for step in steps]).tolist() if steps else []
        for step, loss in zip(steps, losses, strict=True):
            values = {"loss": loss, "learning_rate": step.learning_rate}
            self._log(TrackedEvent("step", step.step, step.epoch, values))

    def _log(self, event: TrackedEvent) -> None:
        self._each("log", lambda tracker: tracker.log(event))

    def _each(self, what: str, act: Callable[[Tracker], None]) -> None:
        for each in list(self._trackers):
            name, tracker = each
            try:
                act(tracker)
            except Exception as error:  # a tracker may raise anything
                self._trackers.remove(each)
                cause = f"{type(error).__name__}: {error}".splitlines()[0]
                logger.warning(
                    "the run goes on without the tracker %s, which broke in %s: %s", name, what, cause
                )


@contextlib.contextmanager
def tracked(config: TrainConfig, folder: RunDirectory, step: int) -> Iterator[Tracking]:
    """The trackers of a run at `step`; they learn how the block ends."""
    tracking = Tracking(config.tracker)
    tracking.start(TrackedRun(folder.path, configuration.dump(config, leave_out=PLACES), step))
    try:
        yield tracking
    except (InterruptedRun, KeyboardInterrupt, SystemExit):
        tracking.finish("interrupted")
        raise
    except BaseException:
        tracking.finish("failed")
        raise
    tracking.finish("finished")
