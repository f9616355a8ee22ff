"""ssim: the structural similarity of images."""

from __future__ import annotations

import torch
from torch import Tensor

from nnkit.metrics._mean import Mean
from nnkit.sums import check_alike, sum_type

WINDOW, SIGMA = 11, 1.5
C1, C2 = 0.01**2, 0.03**2
"""(K1 · L)² and (K2 · L)² of a range L of 1."""


class Ssim:
    """The structural similarity of images, at most 1, which is that of equal ones (Wang et al., 2004).

    Means, variances and the covariance are those of Gaussian windows, σ = 1.5, of 11 × 11 pixels that lie
    within the image, with K1 = 0.01, K2 = 0.03 and a range of 1; along a side of less than 11 pixels a window
    is as long as the side. The value is the mean over windows, channels and images; NaN without images.
    """

    task = "transform"
    higher_is_better = True

    def __init__(self) -> None:
        self._mean = Mean()

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add a batch of images (B, C, H, W) against targets of the same shape; `UsageError` for another."""
        check_alike(preds, target)
        wide = sum_type(preds.device)  # a variance is a difference of nearly equal squares
        self._mean.add(_similarity(preds.to(wide), target.to(wide)).sum(), len(target))

    def compute(self) -> float:
        """The mean over all batches' images."""
        return self._mean.value()

    def reset(self) -> None:
        """Forget all batches."""
        self._mean.reset()


def _similarity(x: Tensor, y: Tensor) -> Tensor:
    """That of each image, (B,)."""
    mean_x, mean_y, square_x, square_y, product = _smooth(torch.stack([x, y, x * x, y * y, x * y]))
    var_x, var_y, covariance = square_x - mean_x**2, square_y - mean_y**2, product - mean_x * mean_y
    luminance: Tensor = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    structure: Tensor = (2 * covariance + C2) / (var_x + var_y + C2)
    return (luminance * structure).flatten(1).mean(dim=1)


def _smooth(images: Tensor) -> Tensor:
    """Gaussian means of the windows within images (..., H, W)."""
    # Products of matrices: a convolution of one channel in float64 took ten times as long on a CPU.
    return _windows(images.shape[-2], images) @ images @ _windows(images.shape[-1], images).T


def _windows(side: int, like: Tensor) -> Tensor:
    """The weights of each window along a side of an image, (windows, side)."""
    length = min(WINDOW, side)
    steps = torch.arange(side, dtype=like.dtype, device=like.device)
    place = steps - steps[: side - length + 1, None]
    weights = torch.exp(-((place - (length - 1) / 2) ** 2) / (2 * SIGMA**2))
    weights = weights * ((place >= 0) & (place < length))
    return weights / weights.sum(dim=1, keepdim=True)
