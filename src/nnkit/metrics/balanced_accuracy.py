"""balanced-accuracy: the mean over classes of recall."""

from __future__ import annotations

from torch import Tensor

from nnkit.metrics._confusion import Confusion


class BalancedAccuracy:
    """The mean of the classes' recall, hits / images, in [0, 1]: each class counts the same.

    A class without images is left out, as scikit-learn's `balanced_accuracy_score` leaves it out. NaN without
    images.
    """

    task = "classification"
    higher_is_better = True

    def __init__(self, *, num_classes: int) -> None:
        self._confusion = Confusion(num_classes)

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count a batch of logits (B, K) against classes (B,)."""
        self._confusion.add(preds, target)

    def compute(self) -> float:
        """The mean over all batches' images."""
        counts = self._confusion.counts()
        images = counts.sum(dim=1)
        return float((counts.diagonal() / images)[images > 0].mean())

    def reset(self) -> None:
        """Forget all batches."""
        self._confusion.reset()
