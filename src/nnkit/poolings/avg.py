"""avg: the mean of each channel."""

from __future__ import annotations

from torch import Tensor, nn

from nnkit.ops import global_pool


class Avg(nn.Module):
    """The mean of each channel: (B, C, H, W) to (B, C)."""

    def forward(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """Pool over all pixels, or over those where `mask`, bool (B, 1, H, W), is true; NaN if none is."""
        if mask is None:
            return global_pool(inputs, "avg")
        return inputs.masked_fill(~mask, 0).sum((2, 3)) / mask.sum((2, 3))
