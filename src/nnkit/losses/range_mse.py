"""range-mse: the summed squared error, with a higher weight for predictions outside [0, 1]."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from nnkit.errors import UsageError
from nnkit.losses._shapes import check_same_shape


class RangeMse(nn.Module):
    """Summed squared error in which a pixel predicted outside [0, 1] counts `weight` times (report A).

    The report found weights above 2 unstable. `UsageError` for a weight that is not a positive number,
    `ValueError` where shapes differ.
    """

    reduction = "sum"

    def __init__(self, *, weight: float = 2.0) -> None:
        super().__init__()
        if not (math.isfinite(weight) and weight > 0):
            raise UsageError(
                f"expected weight to be a positive number, but got weight={weight}",
                hint="Give weight=2, or weight=1 to count all pixels alike.",
            )
        self.weight = weight

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Scalar loss of output and target, both (B, C, H, W)."""
        check_same_shape(output, target)
        errors = (output - target).square()
        outside = (output < 0) | (output > 1)
        return torch.where(outside, self.weight * errors, errors).sum()
