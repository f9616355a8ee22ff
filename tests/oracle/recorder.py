"""What `nnkit.train` did, seen from the model and the loss that it calls: nothing of nnkit's is replaced."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nnkit.types import EpochResult, StepResult


@dataclass
class Call:
    """One call of the model: its mode, weights and random state before it, what went in and out."""

    training: bool
    weights: dict[str, Tensor]
    random_state: Tensor
    inputs: Tensor
    mask: Tensor | None
    output_dtype: torch.dtype
    target: Tensor | None = None
    loss_dtype: torch.dtype | None = None


@dataclass
class Recording:
    """The calls whose output a loss was asked about, in turn; and the steps and epochs that were reported."""

    calls: list[Call] = field(default_factory=list)
    steps: list[StepResult] = field(default_factory=list)
    epochs: list[EpochResult] = field(default_factory=list)

    def on_step(self, step: StepResult) -> None:
        """Keep a step."""
        self.steps.append(step)

    def on_epoch(self, epoch: EpochResult) -> None:
        """Keep an epoch."""
        self.epochs.append(epoch)

    def phases(self) -> list[list[Call]]:
        """The calls in stretches of one mode: training, validation, training, ..., validation and test."""
        stretches: list[list[Call]] = []
        for call in self.calls:
            if call.target is None:
                continue
            if not stretches or stretches[-1][-1].training != call.training:
                stretches.append([])
            stretches[-1].append(call)
        return stretches


@contextlib.contextmanager
def recording(model: type[nn.Module], loss: type[nn.Module]) -> Iterator[Recording]:
    """Record every call of a model's and a loss's class while the block runs."""
    seen = Recording()
    forward, judge = model.forward, loss.forward

    @functools.wraps(forward)
    def recorded(self: nn.Module, inputs: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        weights = {key: value.clone() for key, value in self.state_dict().items()}
        state = torch.get_rng_state()
        output: Tensor = forward(self, inputs, *args, **kwargs)
        mask = kwargs.get("mask")
        seen.calls.append(Call(self.training, weights, state, inputs.clone(), mask, output.dtype))
        return output

    @functools.wraps(judge)
    def judged(self: nn.Module, output: Tensor, target: Tensor) -> Tensor:
        seen.calls[-1].target, seen.calls[-1].loss_dtype = target.clone(), output.dtype
        value: Tensor = judge(self, output, target)
        return value

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "forward", recorded)
        patch.setattr(loss, "forward", judged)
        yield seen
