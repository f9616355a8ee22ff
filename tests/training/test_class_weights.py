from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from nnkit.training.class_weights import WeightedCrossEntropy, balanced_weights

LABELS = torch.tensor([0] * 6 + [1] * 3 + [3])
LOGITS = torch.randn(10, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_weights_are_inverse_to_the_classes_and_of_mean_one() -> None:
    weights = balanced_weights(LABELS, 4)
    assert weights.tolist() == pytest.approx([10 / (3 * 6), 10 / (3 * 3), 0, 10 / 3])
    assert float(weights[LABELS].mean()) == pytest.approx(1)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_loss_is_the_weighted_mean_over_images(smoothing: float, reduction: str) -> None:
    weights = balanced_weights(LABELS, 4).double()
    plain = nn.CrossEntropyLoss(label_smoothing=smoothing, reduction=reduction)
    found = WeightedCrossEntropy(plain, weights)(LOGITS, LABELS)
    q = np.full((10, 4), smoothing / 4)
    q[np.arange(10), LABELS] += 1 - smoothing
    each = -(weights.numpy() * q * LOGITS.log_softmax(1).numpy()).sum(1)
    assert float(found) == pytest.approx(each.mean() if reduction == "mean" else each.sum())
    torch_own = nn.CrossEntropyLoss(weights, label_smoothing=smoothing, reduction="sum")(LOGITS, LABELS)
    assert float(found) * (10 if reduction == "mean" else 1) == pytest.approx(float(torch_own))


def test_parts_of_a_batch_add_up_to_it() -> None:
    loss = WeightedCrossEntropy(nn.CrossEntropyLoss(), balanced_weights(LABELS, 4).double())
    parts = 0.7 * loss(LOGITS[:7], LABELS[:7]) + 0.3 * loss(LOGITS[7:], LABELS[7:])
    assert float(parts) == pytest.approx(float(loss(LOGITS, LABELS)))
