"""calibration-error: how far confidence is from accuracy."""

from __future__ import annotations

import torch
from torch import Tensor

from nnkit.errors import UsageError
from nnkit.sums import sum_type


class CalibrationError:
    """The expected calibration error, in [0, 1]: 0 where confidence is accuracy (Guo et al., 2017).

    Images are put into `bins` of equal width by the largest probability, the last end included in each; the
    error is the mean over images of |accuracy - mean confidence| of their bin. NaN without images.
    `UsageError` unless there is a bin.
    """

    task = "classification"
    higher_is_better = False

    def __init__(self, *, bins: int = 15) -> None:
        if bins < 1:
            raise UsageError(f"expected bins to be at least 1, but got bins={bins}", hint="Give bins=15.")
        self.bins = bins
        self._sums: Tensor | None = None

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add a batch of logits (B, K) and classes (B,)."""
        wide = sum_type(preds.device)
        confidence, predicted = preds.to(wide).softmax(dim=1).max(dim=1)
        place = (confidence * self.bins).ceil().long().clamp(1, self.bins) - 1
        hits = (predicted == target).to(wide)
        rows = torch.stack([torch.ones_like(confidence), confidence, hits], dim=1)
        if self._sums is None:
            self._sums = torch.zeros(self.bins, 3, dtype=wide, device=preds.device)
        self._sums = self._sums.index_add(0, place, rows)

    def compute(self) -> float:
        """The error over all batches' images."""
        if self._sums is None:
            return float("nan")
        images, confidence, hits = self._sums.cpu().unbind(dim=1)
        return float((confidence - hits).abs().sum() / images.sum())

    def reset(self) -> None:
        """Forget all batches."""
        self._sums = None
