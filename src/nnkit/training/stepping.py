"""How an optimizer and a schedule are to be stepped, as their classes say."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

OF_ALL_STEPS = ("T_max", "total_steps")
"""Parameters of a schedule that say how many steps the run has."""
FILLED_IN = (*OF_ALL_STEPS, "max_lr")
"""Parameters that a schedule need not be given: the run fills them in."""


def needs_closure(cls: type[Optimizer]) -> bool:
    """Whether each step computes loss and gradients itself, several times, as the line search of L-BFGS."""
    return "closure" in _required(cls.step)


def rate_of(optimizer: Optimizer) -> float:
    """The learning rate of the first parameters; NaN for an optimizer that has none."""
    return float(optimizer.param_groups[0].get("lr", math.nan))


def why_not_per_step(cls: type[LRScheduler]) -> str | None:
    """Why a schedule cannot be stepped after each optimizer step; None where it can.

    That of torch's ReduceLROnPlateau requires a metric, which only the end of an epoch has.
    """
    if needed := _required(cls.step)[1:]:
        asked = " and ".join(f'"{name}"' for name in needed)
        return f"its step needs a metric after each epoch ({asked}), a schedule is stepped by optimizer steps"
    return None


def filled_in(optimizer: Optimizer, *, num_steps: int) -> Mapping[str, Any]:
    """The values of a run for a schedule's parameters of these names.

    `T_max` is the number of steps, `total_steps` one more, as OneCycleLR counts the rate after the last.
    `max_lr` has a rate for each group of parameters.
    """
    return {
        "T_max": num_steps,
        "total_steps": num_steps + 1,
        "max_lr": [group.get("lr", math.nan) for group in optimizer.param_groups],
    }


def _required(function: Callable[..., Any]) -> list[str]:
    """The parameters that a call must give, `self` among them."""
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    return [each.name for each in parameters if each.default is each.empty and each.kind not in variadic]
