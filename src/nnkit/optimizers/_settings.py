"""Ranges of the settings that optimizers share, and whether their steps can be fused."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field
from torch import Tensor

Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
FromOne = Annotated[int, Field(ge=1)]
DEFAULT_LR = 1e-3


def can_fuse(params: Iterable[Tensor]) -> bool:
    """Whether torch can update all parameters by one kernel, which saves a call per parameter."""
    return all(p.is_floating_point() and p.device.type in ("cpu", "cuda", "mps") for p in params)
