"""Cross-entropy in which images count by their class, for classes of uneven numbers of images."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def balanced_weights(labels: Tensor, num_classes: int) -> Tensor:
    """A weight for each class, (K,): n / (c · n_k) of n labels, n_k of class k, and c classes that occur.

    Each class that occurs then weighs the same, and the mean weight of an image is 1. A class that does not
    occur has the weight 0.
    """
    counts = torch.bincount(labels.flatten(), minlength=num_classes)
    occurs = counts > 0
    weights = torch.zeros(num_classes, dtype=torch.get_default_dtype(), device=labels.device)
    weights[occurs] = (len(labels) / (occurs.sum() * counts[occurs])).to(weights.dtype)
    return weights


class WeightedCrossEntropy(nn.Module):
    """The mean over images of weight · loss, with the label smoothing of `loss`.

    torch's own divides by the sum of a batch's weights, so that an image counts differently from batch to
    batch, and the parts of a batch (`--accumulate`) do not add up to it.
    """

    def __init__(self, loss: nn.CrossEntropyLoss, weights: Tensor) -> None:
        super().__init__()
        self.reduction = loss.reduction
        self.each = nn.CrossEntropyLoss(
            weights, ignore_index=loss.ignore_index, reduction="none", label_smoothing=loss.label_smoothing
        )

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of logits (B, K) and classes (B,)."""
        each: Tensor = self.each(output, target)
        return each.mean() if self.reduction == "mean" else each.sum() if self.reduction == "sum" else each
