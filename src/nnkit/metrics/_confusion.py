"""Shared by the metrics of classes: the confusion matrix, which stays on the device of the batches."""

from __future__ import annotations

import torch
from torch import Tensor

from nnkit.sums import count_pairs


class Confusion:
    """Images by true class (row) and predicted class (column)."""

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self._counts: Tensor | None = None

    def add(self, preds: Tensor, target: Tensor) -> None:
        """Count a batch of logits (B, K) against classes (B,)."""
        if self._counts is None:
            with torch.inference_mode(False):  # else it could be changed in place in inference mode alone
                self._counts = torch.zeros(self.num_classes**2, dtype=torch.int64, device=preds.device)
        count_pairs(self._counts, preds, target)

    def counts(self) -> Tensor:
        """The matrix, float64 (K, K) on the CPU."""
        empty = torch.zeros(self.num_classes**2)
        found = empty if self._counts is None else self._counts.cpu()
        return found.to(torch.float64).reshape(self.num_classes, self.num_classes)

    def reset(self) -> None:
        """Forget all batches."""
        self._counts = None
