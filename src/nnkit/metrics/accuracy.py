"""accuracy: the share of images whose class is the most probable."""

from __future__ import annotations

from torch import Tensor

from nnkit.metrics._mean import Mean


class Accuracy:
    """The share of images whose class has the largest logit, in [0, 1]; NaN without images."""

    task = "classification"
    higher_is_better = True

    def __init__(self) -> None:
        self._mean = Mean()

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count a batch of logits (B, K) against classes (B,)."""
        self._mean.add((preds.argmax(dim=1) == target).sum(), len(target))

    def compute(self) -> float:
        """The share over all batches' images."""
        return self._mean.value()

    def reset(self) -> None:
        """Forget all batches."""
        self._mean.reset()
