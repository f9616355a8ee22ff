"""The schedules that `--schedule` names."""

from __future__ import annotations

from typing import Literal

from torch import optim
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

Schedule = Literal["none", "cosine", "one-cycle"]


def make_schedule(name: Schedule, optimizer: optim.Optimizer, steps: int) -> LRScheduler | None:
    """A schedule stepped once per optimizer step, over `steps` steps.

    `cosine` falls from the learning rate to 0; `one-cycle` rises to it over the first 30 % from a 25th, then
    falls to 0 (Smith and Topin, 2018).
    """
    if name == "none" or steps == 0:
        return None
    if name == "cosine":
        return CosineAnnealingLR(optimizer, T_max=steps)
    max_lr = [group["lr"] for group in optimizer.param_groups]
    # Cycling the momentum is the schedule's default; left out so that every optimizer behaves alike.
    return OneCycleLR(optimizer, max_lr=max_lr, total_steps=steps + 1, cycle_momentum=False)
