"""f1: the mean over classes of F1."""

from __future__ import annotations

from torch import Tensor

from nnkit.metrics._confusion import Confusion


class F1:
    """The mean of the classes' F1, 2 · hits / (images + predictions), in [0, 1]: each class counts the same.

    A class with neither an image nor a prediction is left out, as scikit-learn's `f1_score(average="macro")`
    leaves it out. NaN without images.
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
        both = counts.sum(dim=1) + counts.sum(dim=0)
        scores = 2 * counts.diagonal() / both
        return float(scores[both > 0].mean())

    def reset(self) -> None:
        """Forget all batches."""
        self._confusion.reset()
