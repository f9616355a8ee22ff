"""psnr: the peak signal-to-noise ratio."""

from __future__ import annotations

from torch import Tensor

from nnkit.metrics._mean import Mean
from nnkit.sums import difference
from nnkit.surrogates.fidelity import psnr


class Psnr:
    """The peak signal-to-noise ratio in dB, -10 log10 of the mean squared error over all values.

    The peak is 1: images are in [0, 1]. Infinite without an error, NaN without images.
    """

    task = "transform"
    higher_is_better = True

    def __init__(self) -> None:
        self._mean = Mean()

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add a batch of images (B, C, H, W) against targets of the same shape; `UsageError` for another."""
        self._mean.add(difference(preds, target).square().sum(), target.numel())

    def compute(self) -> float:
        """The ratio of the mean over all batches' values."""
        return psnr(self._mean.value())

    def reset(self) -> None:
        """Forget all batches."""
        self._mean.reset()
