"""How an optimizer and a schedule are to be stepped, as their classes say."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

OF_ALL_STEPS = ("T_max", "total_steps", "epochs")
"""Parameters of a schedule that say how long the run is."""
FILLED_IN = (*OF_ALL_STEPS, "steps_per_epoch", "max_lr")
"""Parameters that a schedule need not be given: the run fills them in."""


def needs_closure(cls: type[Optimizer]) -> bool:
    """Whether each step computes loss and gradients itself, several times, as the line search of L-BFGS."""
    closure = inspect.signature(cls.step).parameters.get("closure")
    return closure is not None and closure.default is closure.empty


def rate_of(optimizer: Optimizer) -> float:
    """The learning rate of the first parameters; NaN for an optimizer that has none."""
    return float(optimizer.param_groups[0].get("lr", math.nan))


def takes_metrics(cls: type[LRScheduler]) -> bool:
    """Whether a schedule's `step` wants the monitored metric, as that of torch's ReduceLROnPlateau."""
    return "metrics" in inspect.signature(cls.step).parameters


def is_per_step(cls: type[LRScheduler]) -> bool:
    """Whether a schedule is stepped after each optimizer step, else after each epoch.

    `per` of the class says it, "step" or "epoch"; without it, a schedule that is told the number of steps,
    by a parameter `T_max` or `total_steps`, counts steps. One that takes the metric counts epochs.
    """
    if takes_metrics(cls):
        return False
    said = getattr(cls, "per", None)
    if said is not None:
        return bool(said == "step")
    return not {"T_max", "total_steps"}.isdisjoint(inspect.signature(cls).parameters)


def filled_in(
    cls: type[LRScheduler], optimizer: Optimizer, *, epochs: int, steps_per_epoch: int, less_is_better: bool
) -> Mapping[str, Any]:
    """The values of a run for a schedule's parameters of these names.

    `T_max` is the number of steps, `total_steps` one more, as OneCycleLR counts the rate after the last.
    `max_lr` has a rate for each group of parameters. A schedule that takes the metric is told by `mode`
    whether less of it is better.
    """
    steps = epochs * steps_per_epoch
    found: dict[str, Any] = {
        "T_max": steps,
        "total_steps": steps + 1,
        "epochs": epochs,
        "steps_per_epoch": steps_per_epoch,
        "max_lr": [group.get("lr", math.nan) for group in optimizer.param_groups],
    }
    if takes_metrics(cls):
        found["mode"] = "min" if less_is_better else "max"
    return found
