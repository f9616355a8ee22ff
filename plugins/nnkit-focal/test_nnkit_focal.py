"""nnkit's contract tests of the focal loss, and its formula."""

from typing import ClassVar

import pytest
import torch
from nnkit_focal import Focal

from nnkit.testing import LossContract

LOGITS = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
CLASSES = torch.tensor([0, 1, 2, 3, 0, 1])


class TestFocal(LossContract):
    component = Focal


class TestFocalOfSmallGamma(LossContract):
    component = Focal
    settings: ClassVar = {"gamma": 0.5}


def test_at_gamma_0_it_is_cross_entropy() -> None:
    expected = torch.nn.functional.cross_entropy(LOGITS, CLASSES)
    torch.testing.assert_close(Focal(gamma=0)(LOGITS, CLASSES), expected)


def test_it_is_the_papers_formula() -> None:
    p = LOGITS.softmax(1)[torch.arange(6), CLASSES]
    torch.testing.assert_close(Focal(gamma=2)(LOGITS, CLASSES), (-((1 - p) ** 2) * p.log()).mean())


def test_a_negative_gamma_is_refused() -> None:
    with pytest.raises(ValueError, match="0 or more"):
        Focal(gamma=-1)
