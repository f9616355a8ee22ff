"""mse: the mean squared error."""

from __future__ import annotations

from torch import Tensor

from nnkit.metrics._mean import Mean
from nnkit.sums import difference


class Mse:
    """The mean over all values of the squared error, 0 or more; NaN without images."""

    task = "transform"
    higher_is_better = False

    def __init__(self) -> None:
        self._mean = Mean()

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add a batch of images (B, C, H, W) against targets of the same shape; `UsageError` for another."""
        self._mean.add(difference(preds, target).square().sum(), target.numel())

    def compute(self) -> float:
        """The mean over all batches' values."""
        return self._mean.value()

    def reset(self) -> None:
        """Forget all batches."""
        self._mean.reset()
