"""What holds for every built-in loss on images."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nnkit.losses.mse_sum import MseSum
from nnkit.losses.perceptual import Perceptual
from nnkit.losses.range_mse import RangeMse

LOSSES = pytest.mark.parametrize("name", ["mse-sum", "range-mse", "perceptual"])


@pytest.fixture(scope="module")
def losses() -> dict[str, nn.Module]:
    return {
        "mse-sum": MseSum(),
        "range-mse": RangeMse(),
        "perceptual": Perceptual(weights="random", resize=16),
    }


@LOSSES
def test_a_perfect_output_costs_nothing(losses: dict[str, nn.Module], name: str) -> None:
    target = torch.rand(2, 1, 9, 11)
    assert losses[name](target.clone(), target) == 0


@LOSSES
def test_shapes_are_not_broadcast(losses: dict[str, nn.Module], name: str) -> None:
    with pytest.raises(ValueError, match="one shape"):
        losses[name](torch.rand(2, 1, 4, 4), torch.rand(2, 3, 4, 4))


@LOSSES
def test_it_has_nothing_to_train_or_save(losses: dict[str, nn.Module], name: str) -> None:
    assert list(losses[name].parameters()) == []
    assert losses[name].state_dict() == {}


@LOSSES
def test_gradients_reach_grey_images_too(losses: dict[str, nn.Module], name: str) -> None:
    output = torch.randn(2, 1, 9, 11, requires_grad=True)
    losses[name](output, torch.rand(2, 1, 9, 11)).backward()
    assert output.grad is not None
    assert output.grad.isfinite().all()
    assert (output.grad != 0).any()
