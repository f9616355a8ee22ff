"""What holds for every built-in pooling."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nnkit.poolings.amax import Amax
from nnkit.poolings.avg import Avg
from nnkit.poolings.max import Max

POOLINGS = pytest.mark.parametrize(
    "pooling", [Max(), Amax(), Avg()], ids=lambda pooling: type(pooling).__name__
)


@POOLINGS
@pytest.mark.parametrize("batch", [1, 4])
def test_it_gives_one_finite_value_per_image_and_channel(pooling: nn.Module, batch: int) -> None:
    inputs = torch.randn(batch, 3, 5, 7, requires_grad=True)
    output = pooling(inputs)
    assert output.shape == (batch, 3)
    output.sum().backward()
    assert inputs.grad is not None
    # The gradient of each value is shared out among its pixels, and none is lost.
    torch.testing.assert_close(inputs.grad.sum((2, 3)), torch.ones(batch, 3))


@POOLINGS
@pytest.mark.parametrize("fill", [99.0, float("nan"), float("inf")])
def test_it_leaves_out_what_the_mask_does(pooling: nn.Module, fill: float) -> None:
    inputs = torch.randn(2, 3, 4, 6) - 10
    mask = torch.zeros(2, 1, 6, 9, dtype=torch.bool)
    mask[:, :, :4, :6] = True
    padded = torch.full((2, 3, 6, 9), fill)
    padded[:, :, :4, :6] = inputs
    torch.testing.assert_close(pooling(padded, mask), pooling(inputs))


@POOLINGS
def test_it_has_no_parameters(pooling: nn.Module) -> None:
    assert list(pooling.parameters()) == []
