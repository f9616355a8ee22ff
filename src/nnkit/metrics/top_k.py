"""top-k: the share of images whose class is among the k most probable."""

from __future__ import annotations

from torch import Tensor

from nnkit.errors import UsageError
from nnkit.metrics._mean import Mean


class TopK:
    """The share of images whose class is among the `k` largest logits, in [0, 1].

    Equal logits are in torch's order. NaN without images. `UsageError` unless k is at least 1 and at most the
    number of classes.
    """

    task = "classification"
    higher_is_better = True

    def __init__(self, *, num_classes: int, k: int = 5) -> None:
        if not 1 <= k <= num_classes:
            raise UsageError(
                f"expected k from 1 to the number of classes, {num_classes}, but got k={k}",
                hint="Give a smaller one, such as top-k:k=2.",
            )
        self.k = k
        self._mean = Mean()

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count a batch of logits (B, K) against classes (B,)."""
        hits = preds.topk(self.k, dim=1).indices == target[:, None]
        self._mean.add(hits.sum(), len(target))

    def compute(self) -> float:
        """The share over all batches' images."""
        return self._mean.value()

    def reset(self) -> None:
        """Forget all batches."""
        self._mean.reset()
