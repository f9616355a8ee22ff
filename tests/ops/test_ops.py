"""All layers in one network, and their defaults, against torch.nn.functional."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nnkit.ops import (
    Conv2d,
    Conv2dFunction,
    broadcast_columns,
    conv2d,
    conv_output_size,
    divide,
    elementwise,
    fold,
    global_pool,
    matrix_product,
    naive_conv2d,
    naive_unfold,
    unfold,
)


def drawn(seed: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)


def leaves() -> list[Tensor]:
    """Images, a kernel and its bias, a matrix and its bias."""
    shapes = (3, 2, 7, 9), (4, 2, 3, 2), (4,), (5, 4), (5,)
    return [drawn(seed, *shape) for seed, shape in enumerate(shapes)]


def by_ours(x: Tensor, kernel: Tensor, bias: Tensor, weight: Tensor, shift: Tensor) -> Tensor:
    x = conv2d(x, kernel, bias, stride=(2, 1), padding=(1, 2), dilation=(1, 3))
    x = elementwise(x, torch.tanh, lambda values: 1 - torch.tanh(values) ** 2)
    x = fold(unfold(x, 2), (4, 10), 2)
    x = matrix_product(weight, global_pool(x, "avg") + global_pool(x, "max"))
    return divide(x + broadcast_columns(shift, 3), x**2 + 1)


def by_torchs(x: Tensor, kernel: Tensor, bias: Tensor, weight: Tensor, shift: Tensor) -> Tensor:
    x = torch.tanh(F.conv2d(x, kernel, bias, stride=(2, 1), padding=(1, 2), dilation=(1, 3)))
    x = F.fold(F.unfold(x, 2), (4, 10), 2)
    pooled = F.adaptive_avg_pool2d(x, 1) + F.adaptive_max_pool2d(x, 1)
    product = F.linear(pooled.flatten(1), weight)
    return ((product + shift) / (product**2 + 1)).T


def test_a_network_of_all_layers_has_the_outputs_and_gradients_of_torchs() -> None:
    ours, theirs = leaves(), leaves()
    found, expected = by_ours(*ours), by_torchs(*theirs)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    towards = drawn(9, *expected.shape).detach()
    found.backward(towards)
    expected.backward(towards)
    for own, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own.grad, other.grad, rtol=1e-11, atol=1e-11)


IMAGE, KERNEL = drawn(0, 2, 3, 6, 5).detach(), drawn(1, 4, 3, 3, 2).detach()
PATCHES = F.unfold(IMAGE, (3, 2))


@pytest.mark.parametrize(
    ("ours", "theirs", "given"),
    [
        (conv2d, F.conv2d, (IMAGE, KERNEL)),
        (naive_conv2d, F.conv2d, (IMAGE, KERNEL)),
        (Conv2dFunction.apply, F.conv2d, (IMAGE, KERNEL)),
        (unfold, F.unfold, (IMAGE, (3, 2))),
        (naive_unfold, F.unfold, (IMAGE, (3, 2))),
        (fold, F.fold, (PATCHES, (6, 5), (3, 2))),
        (global_pool, lambda images: F.adaptive_max_pool2d(images, 1)[:, :, 0, 0], (IMAGE,)),
        (conv_output_size, lambda size, kernel: (4, 4), ((6, 5), (3, 2))),
    ],
    ids=["conv2d", "naive_conv2d", "Conv2dFunction", "unfold", "naive_unfold", "fold", "pool", "output_size"],
)
def test_the_defaults_are_those_of_torch(
    ours: Callable[..., Any], theirs: Callable[..., Any], given: tuple[Any, ...]
) -> None:
    torch.testing.assert_close(ours(*given), theirs(*given), rtol=1e-12, atol=1e-12)


def test_a_convolution_left_alone_has_stride_1_no_padding_no_dilation_and_a_bias() -> None:
    torch.manual_seed(0)
    ours, theirs = Conv2d(3, 4, (3, 2)).double(), nn.Conv2d(3, 4, (3, 2)).double()
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours(IMAGE), theirs(IMAGE), rtol=1e-12, atol=1e-12)
