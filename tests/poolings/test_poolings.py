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


@pytest.mark.gpu
@POOLINGS
def test_forward_and_backward_repeat_to_the_bit_on_a_gpu(pooling: nn.Module) -> None:
    torch.manual_seed(0)
    inputs = torch.randint(0, 3, (64, 81, 8, 8), device="cuda").float()  # many ties
    weights = torch.randn(64, 81, device="cuda")
    torch.use_deterministic_algorithms(True)
    try:
        seen = []
        for _ in range(5):
            given = inputs.clone().requires_grad_()
            output = pooling(given)
            (output * weights).sum().backward()
            assert given.grad is not None
            seen.append((output.detach(), given.grad))
    finally:
        torch.use_deterministic_algorithms(False)
    for output, gradient in seen[1:]:
        assert torch.equal(output, seen[0][0])
        assert torch.equal(gradient, seen[0][1])
    expected = pooling(inputs.cpu())
    torch.testing.assert_close(seen[0][0].cpu(), expected)


@POOLINGS
def test_forward_and_backward_repeat_to_the_bit_on_a_cpu(pooling: nn.Module) -> None:
    inputs = torch.randint(0, 3, (16, 81, 8, 8), generator=torch.Generator().manual_seed(0)).float()
    seen = []
    for _ in range(3):
        given = inputs.clone().requires_grad_()
        output = pooling(given)
        output.square().sum().backward()
        assert given.grad is not None
        seen.append((output.detach(), given.grad))
    assert all(torch.equal(o, seen[0][0]) and torch.equal(g, seen[0][1]) for o, g in seen[1:])
