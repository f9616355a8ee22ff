"""max: the largest value of each channel; of equal ones the first gets the gradient."""

from __future__ import annotations

import math

from torch import Tensor, nn

from nnkit.ops import global_pool


class Max(nn.Module):
    """The largest value of each channel: (B, C, H, W) to (B, C).

    The whole gradient goes to the first of the pixels that share the largest value.
    """

    def forward(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """Pool over all pixels, or over those where `mask`, bool (B, 1, H, W), is true; -inf if none is."""
        if mask is not None:
            inputs = inputs.masked_fill(~mask, -math.inf)
        return global_pool(inputs, "max")
