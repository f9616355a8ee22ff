"""Observers of the loop, which receive its steps and epochs: the log and the best weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from nnkit.runs.directory import RunDirectory
from nnkit.runs.lines import LogMark, read_records
from nnkit.types import EpochResult, StepResult


class Observer(Protocol):
    """Receives every step and epoch of a run. It may print or save, but changes nothing."""

    def on_step(self, step: StepResult) -> None:
        """Called after each optimizer step. Reading `step.loss` synchronises."""
        ...

    def on_epoch(self, epoch: EpochResult) -> None:
        """Called after each epoch's validation."""
        ...


@runtime_checkable
class StartObserver(Observer, Protocol):
    """An observer that also receives the number of epochs and the seed, before any data is loaded."""

    def on_start(self, *, epochs: int, seed: int) -> None:
        """Called once, when the configuration is complete."""
        ...


@runtime_checkable
class PlanObserver(Observer, Protocol):
    """An observer that also receives the number of training images, before the first step."""

    def on_plan(self, *, images_per_epoch: int) -> None:
        """Called once, when the first epoch is planned; images that are dropped do not count."""
        ...


@runtime_checkable
class ResumeObserver(Observer, Protocol):
    """An observer that is also called before the first step of a resumed run, with where it resumes."""

    def on_resume(self, *, epochs_done: int, images_done: int) -> None:
        """Called once: whole epochs, and images of the epoch under way."""
        ...


@dataclass
class MetricsLog:
    """Writes metrics.jsonl: a line per epoch, and per step in the first epoch."""

    run: RunDirectory
    epochs: list[EpochResult] = field(default_factory=list)
    first_epoch: list[tuple[int, float]] = field(default_factory=list)
    _steps: list[StepResult] = field(default_factory=list)

    def on_step(self, step: StepResult) -> None:
        """Keep the first epoch's losses on the device; they are read when it ends."""
        if step.epoch == 1:
            self._steps.append(step)
        self.run.beat()

    def on_epoch(self, epoch: EpochResult) -> None:
        """Write the epoch, and the steps that wait."""
        self.flush()
        self.epochs.append(epoch)
        self.run.log.epoch(epoch)

    def sync(self) -> LogMark:
        """Write the steps that wait, bring the file to the disk, and say how far that is."""
        self.flush()
        return self.run.log.sync()

    def restore(self, mark: LogMark) -> None:
        """Go on from what the file held at `mark`; what follows was written after a checkpoint."""
        self.run.log.cut(mark)
        for record in read_records(self.run.log_path):
            if record["kind"] == "step":
                self.first_epoch.append((record["step"], record["loss"]))
            else:
                del record["kind"]
                # Infinity, such as the PSNR of a perfect image, is null in the file.
                metrics = {k: math.nan if v is None else v for k, v in record.pop("metrics").items()}
                record = {k: math.nan if v is None else v for k, v in record.items()}
                self.epochs.append(EpochResult(metrics=metrics, **record))

    def flush(self) -> None:
        """Write the steps that wait, one synchronisation for all."""
        steps, self._steps = self._steps, []
        losses = torch.stack([step.loss for step in steps]).tolist() if steps else []
        for step, loss in zip(steps, losses, strict=True):
            self.first_epoch.append((step.step, loss))
            self.run.log.step(epoch=1, step=step.step, loss=loss, learning_rate=step.learning_rate)


@dataclass
class BestWeights:
    """Keeps the weights of the best epoch by one metric. NaN is never best.

    Of epochs with equal values the one of the lowest validation loss is best, of equals in both the first:
    accuracy over few images ties often, and the loss goes on falling.
    """

    monitor: str
    epoch: int = 0
    value: float = math.nan
    loss: float = math.nan
    metrics: Mapping[str, Any] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)

    def offer(self, result: EpochResult, model: nn.Module) -> bool:
        """Keep a copy of the weights if this epoch is the best so far."""
        value = result.metrics.get(self.monitor, math.nan)
        loss = result.metrics.get("val_loss", math.nan)
        if not self._better(value, loss, less=result.lower_is_better(self.monitor)):
            return False
        self.epoch, self.value, self.loss = result.epoch, value, loss
        self.metrics = {**result.validation, **result.metrics}
        self.weights = copy.deepcopy(dict(model.state_dict()))
        return True

    def state_dict(self) -> dict[str, Any]:
        """What it remembers, without the weights: these are a file of their own."""
        return {"epoch": self.epoch, "value": self.value, "loss": self.loss, "metrics": dict(self.metrics)}

    def restore(self, state: Mapping[str, Any], weights: dict[str, Tensor]) -> None:
        """Go on from what was remembered."""
        self.epoch, self.value, self.loss = state["epoch"], state["value"], state["loss"]
        self.metrics, self.weights = state["metrics"], weights

    def _better(self, value: float, loss: float, *, less: bool) -> bool:
        if math.isnan(value) or not self.epoch:
            return not math.isnan(value)
        if value == self.value:
            return loss < self.loss
        return value < self.value if less else value > self.value
