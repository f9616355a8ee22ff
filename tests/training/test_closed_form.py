from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nnkit.data.images import Images
from nnkit.errors import UsageError
from nnkit.training.closed_form import PREPARE_IMAGES, fit_closed_form, prepare
from nnkit.types import Data, Split


def data_of(num_train: int, task: Any = "transform") -> Data:
    """Images of one level each, 0 to 255, the training ones from 0 on."""
    images = torch.arange(256, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 2, 2).contiguous()
    targets = images.float() / 255
    parts = {"train": np.arange(num_train), "val": np.arange(num_train, 256), "test": np.arange(0)}
    held = Images.from_tensor(images)
    splits = {name: Split(held, targets, indices) for name, indices in parts.items()}
    return Data(task, splits, 1, (2, 2), mean=(0.0,), std=(1.0,))


class Third(nn.Module):
    """A model of a third party, with all that may stand beside `forward`."""

    closed_form_images = 10

    def __init__(self, broken: bool = False) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(()))
        self.broken = broken
        self.seen: list[Tensor] = []

    def forward(self, inputs: Tensor) -> Tensor:
        return self.scale * inputs

    def fit_closed_form(self, inputs: Tensor, targets: Tensor) -> dict[str, Any]:
        if self.broken:
            raise torch.linalg.LinAlgError("singular")
        self.seen.append(inputs)
        self.scale.copy_((inputs * targets).sum() / inputs.square().sum())
        return {"notes": ["a word about it"], "pivots": 3}

    def prepare_for_training(self, inputs: Tensor, targets: Tensor) -> dict[str, Any]:
        self.seen.append(inputs)
        return {"places": 7}


def test_a_model_of_a_third_party_is_fitted_on_as_many_training_images_as_it_asks_for(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("nnkit"), "propagate", True)
    caplog.set_level(logging.INFO, "nnkit")
    model = Third()
    facts = fit_closed_form(model, data_of(100))
    assert model.scale.item() == pytest.approx(1)
    assert (model.seen[0][:, 0, 0, 0] * 255).round().tolist() == list(range(0, 100, 10))
    assert facts.pop("solver_s") >= 0
    assert facts == {"name": "als", "images": 10, "notes": ["a word about it"], "pivots": 3}
    assert "a word about it" in caplog.text


def test_before_gradients_it_is_shown_training_images_and_others_are_left_alone() -> None:
    model = Third()
    assert prepare(model, data_of(100)) == {"name": "gradient", "places": 7}
    assert len(model.seen[0]) == min(100, PREPARE_IMAGES)
    assert prepare(nn.Linear(1, 1), data_of(100)) == {"name": "gradient"}
    assert prepare(model, data_of(100, task="classification")) == {"name": "gradient"}


def test_a_fit_that_breaks_is_told_with_its_cause() -> None:
    with pytest.raises(
        UsageError, match="cannot be fitted to 10 images of this dataset: _LinAlgError: singular"
    ):
        fit_closed_form(Third(broken=True), data_of(100))


def test_out_of_memory_is_not_taken_for_a_fit_that_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    def hungry(*images: Tensor) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    model = Third()
    monkeypatch.setattr(model, "fit_closed_form", hungry)
    with pytest.raises(torch.OutOfMemoryError):
        fit_closed_form(model, data_of(100))


def test_what_has_no_closed_form_is_refused() -> None:
    with pytest.raises(UsageError, match="model has no fit_closed_form"):
        fit_closed_form(nn.Linear(1, 1), data_of(100))
    with pytest.raises(UsageError, match="dataset has classes"):
        fit_closed_form(Third(), data_of(100, task="classification"))
