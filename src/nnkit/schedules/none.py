"""none: the learning rate stays as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


class NoSchedule(LRScheduler):
    """The learning rate stays as the optimizer has it; an optimizer needs none."""

    def __init__(self, optimizer: Optimizer) -> None:
        # torch's own asks the optimizer for a learning rate, and wraps its step.
        self.optimizer = optimizer

    def step(self, epoch: int | None = None) -> None:
        """Nothing."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state_dict(self, state_dict: Mapping[str, Any] | None) -> None:
        """Nothing; checkpoints of earlier versions hold None."""
