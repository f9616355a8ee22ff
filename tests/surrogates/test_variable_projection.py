from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nnkit.surrogates.variable_projection import MixedLinear, fit_mixed_linear


def outputs(found: MixedLinear, inputs: Tensor) -> Tensor:
    mixed = torch.einsum("oc,ncp->nop", found.channels, inputs.double()) + found.channel_bias[:, None]
    return mixed @ found.weight.T + found.bias


def alike(num: int, channels: int, pixels: int) -> Tensor:
    """Images whose channels are much alike, as a photograph's are."""
    torch.manual_seed(0)
    return (torch.rand(num, 1, pixels) + 0.05 * torch.randn(num, channels, pixels)).float()


@pytest.mark.parametrize("num_outputs", [1, 3])
def test_what_such_a_model_makes_is_found_again(num_outputs: int) -> None:
    inputs = alike(80, 3, 12)
    weights = (torch.randn(num_outputs, 3), torch.randn(num_outputs), torch.randn(7, 12), torch.randn(7))
    true = MixedLinear(*(part.double() for part in weights), 0)
    found = fit_mixed_linear(inputs, outputs(true, inputs))
    assert found.iterations < 15
    torch.testing.assert_close(outputs(found, inputs), outputs(true, inputs), rtol=1e-6, atol=1e-6)
    others = torch.rand(5, 3, 12)
    torch.testing.assert_close(outputs(found, others), outputs(true, others), rtol=1e-4, atol=1e-4)
    assert float(found.weight.abs().sum(1).max()) == pytest.approx(1)


def test_grey_images_leave_the_share_of_each_channel_open_and_are_fitted_all_the_same() -> None:
    grey = alike(40, 1, 6).expand(-1, 3, -1)
    targets = grey[:, :1, :4] * 2 + 0.25
    found = fit_mixed_linear(grey, targets)
    torch.testing.assert_close(outputs(found, grey), targets.double(), rtol=1e-6, atol=1e-6)


def test_the_colours_settle_where_no_small_change_of_them_makes_the_best_layer_better() -> None:
    inputs = alike(200, 3, 4)
    targets = torch.rand(200, 1, 5)
    found = fit_mixed_linear(inputs, targets)
    best = left(inputs, targets, found.channels)
    for sign in (1, -1):
        change = sign * 1e-2 * found.channels.norm() * torch.randn(1, 3, dtype=torch.float64)
        assert left(inputs, targets, found.channels + change) > best


def left(inputs: Tensor, targets: Tensor, channels: Tensor) -> float:
    """The squared error that the best linear layer leaves, for given colours."""
    mixed = torch.einsum("oc,ncp->np", channels, inputs.double())
    design = torch.cat([mixed, torch.ones(len(mixed), 1)], dim=1)
    flat = targets[:, 0].double()
    return float((design @ torch.linalg.lstsq(design, flat).solution - flat).square().sum())


def test_colours_are_found_where_few_of_the_targets_values_ever_change() -> None:
    """A border of zeros around one pixel: an even sample of the values missed it, and the colours with it."""
    inputs = torch.rand(200, 3, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    grey = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
    targets = torch.zeros(200, 1, 225, dtype=torch.float64)
    targets[:, 0, 113] = (grey @ inputs)[:, 27]
    found = fit_mixed_linear(inputs, targets)
    assert found.residual < 1e-6
    torch.testing.assert_close(outputs(found, inputs), targets, rtol=0, atol=1e-6)
    assert fit_mixed_linear(inputs, targets.square()).residual > 0.05
