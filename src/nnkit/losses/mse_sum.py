"""mse-sum: the squared error, summed."""

from __future__ import annotations

from torch import Tensor, nn

from nnkit.losses._shapes import check_same_shape


class MseSum(nn.Module):
    """Squared error summed over pixels, channels and images; `ValueError` where shapes differ."""

    reduction = "sum"

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Scalar loss of output and target, both (B, C, H, W)."""
        check_same_shape(output, target)
        return (output - target).square().sum()
