"""The check of a least-squares fit finds what is wrong with one, and leaves alone who has none."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nnkit.errors import UsageError
from nnkit.testing import Skipped, Subject
from nnkit.testing.models import fits_by_least_squares

WORLD = {"in_channels": 1, "image_size": (2, 2), "target_channels": 1, "target_size": (2, 2)}


class Scale(nn.Module):
    """One number times the image."""

    least_squares_images = 8

    def __init__(self, *, target_channels: int = 1, fault: str = "") -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.fault = fault

    def forward(self, inputs: Tensor) -> Tensor:
        return self.scale * inputs

    def fit_least_squares(self, inputs: Tensor, targets: Tensor) -> dict[str, Any]:
        if self.fault == "refused":
            raise UsageError("a sigmoid stands in the way")
        best = (inputs * targets).sum() / inputs.square().sum()
        self.scale.copy_(torch.tensor(torch.nan) if self.fault == "nan" else best)
        if self.fault == "worse":
            self.scale.neg_()
        return {"weights": self.scale if self.fault == "tensor" else 1}


def subject(fault: str = "") -> Subject:
    return Subject("models", Scale, {"fault": fault}, known=WORLD)


def test_a_fit_that_lowers_the_error_passes() -> None:
    fits_by_least_squares(subject())


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ("worse", AssertionError, "raises the mean squared error"),
        ("nan", AssertionError, "not finite"),
        ("tensor", TypeError, "not JSON serializable"),
        ("refused", Skipped, "a sigmoid stands in the way"),
    ],
)
def test_a_fit_with_a_fault_is_told(fault: str, error: type[BaseException], message: str) -> None:
    with pytest.raises(error, match=message):
        fits_by_least_squares(subject(fault))


def test_a_model_without_one_is_skipped() -> None:
    with pytest.raises(Skipped, match="no least-squares fit"):
        fits_by_least_squares(Subject("models", nn.Identity, known={}))
