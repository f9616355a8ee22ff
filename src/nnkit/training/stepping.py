"""How an optimizer is to be stepped, as its class says."""

from __future__ import annotations

import inspect
import math

from torch.optim import Optimizer


def needs_closure(cls: type[Optimizer]) -> bool:
    """Whether each step computes loss and gradients itself, several times, as the line search of L-BFGS."""
    closure = inspect.signature(cls.step).parameters.get("closure")
    return closure is not None and closure.default is closure.empty


def rate_of(optimizer: Optimizer) -> float:
    """The learning rate of the first parameters; NaN for an optimizer that has none."""
    return float(optimizer.param_groups[0].get("lr", math.nan))
