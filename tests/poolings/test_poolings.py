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
def test_the_gradient_of_a_value_is_shared_out_among_its_pixels(pooling: nn.Module) -> None:
    inputs = torch.randn(4, 3, 5, 7, requires_grad=True)
    pooling(inputs).sum().backward()
    assert inputs.grad is not None
    torch.testing.assert_close(inputs.grad.sum((2, 3)), torch.ones(4, 3))


@POOLINGS
def test_it_has_no_parameters(pooling: nn.Module) -> None:
    assert list(pooling.parameters()) == []
