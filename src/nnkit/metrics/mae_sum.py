"""mae-sum: the summed absolute error of an image."""

from __future__ import annotations

from torch import Tensor

from nnkit.metrics._mean import Mean
from nnkit.sums import difference


class MaeSum:
    """The mean over images of their summed absolute error, 0 or more; NaN without images."""

    task = "transform"
    higher_is_better = False

    def __init__(self) -> None:
        self._mean = Mean()

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add a batch of images (B, C, H, W) against targets of the same shape; `UsageError` for another."""
        self._mean.add(difference(preds, target).abs().sum(), len(target))

    def compute(self) -> float:
        """The mean over all batches' images."""
        return self._mean.value()

    def reset(self) -> None:
        """Forget all batches."""
        self._mean.reset()
