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
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_it_gives_a_scalar_with_finite_gradients(
    losses: dict[str, nn.Module], name: str, batch: int, channels: int
) -> None:
    output = torch.randn(batch, channels, 9, 11, requires_grad=True)
    loss = losses[name](output, torch.rand(batch, channels, 9, 11))
    assert loss.shape == ()
    assert loss > 0
    loss.backward()
    assert output.grad is not None
    assert output.grad.isfinite().all()
    assert (output.grad != 0).any()


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
