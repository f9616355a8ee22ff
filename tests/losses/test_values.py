"""The losses on images against their formulas, summed pixel by pixel, and against torch.nn.functional."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import gradcheck

from nnkit.build import build
from nnkit.losses.perceptual import Perceptual

SHAPE = (2, 3, 4, 5)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def drawn(seed: int, *shape: int) -> Tensor:
    """Values on both sides of 0 and of 1, none within 1e-3 of either, where a weighted error has a step."""
    values = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 2
    return torch.where((values.abs() < 1e-3) | ((values - 1).abs() < 1e-3), 0.5, values)


def squared_errors(output: Tensor, target: Tensor, weight: float = 1.0) -> float:
    """Pixel by pixel, those outside [0, 1] counted `weight` times."""
    total = 0.0
    for place in itertools.product(*(range(length) for length in output.shape)):
        value, wanted = float(output[place]), float(target[place])
        total += (weight if value < 0 or value > 1 else 1.0) * (value - wanted) ** 2
    return total


@pytest.mark.parametrize(
    ("spec", "weight"), [("mse-sum", 1.0), ("range-mse", 2.0), ("range-mse:weight=0.25", 0.25)]
)
def test_squared_errors_are_summed_over_all_pixels_of_all_images(spec: str, weight: float) -> None:
    output, target = drawn(0, *SHAPE), drawn(1, *SHAPE)
    loss: nn.Module = build("losses", spec)
    expected = squared_errors(output, target, weight)
    assert float(loss(output, target)) == pytest.approx(expected, rel=1e-13)
    assert float(loss(torch.cat([output] * 3), torch.cat([target] * 3))) == pytest.approx(3 * expected)
    assert gradcheck(loss, (output.requires_grad_(), target.requires_grad_()))


def test_it_is_the_output_whose_range_counts_and_not_the_targets() -> None:
    inside, outside = torch.full((1, 1, 1, 2), 0.5), torch.tensor([[[[-1.0, 2.0]]]])
    loss = build("losses", "range-mse:weight=10")
    assert loss(inside, outside).item() == 2 * 1.5**2
    assert loss(outside, inside).item() == 10 * 2 * 1.5**2


def test_mse_is_the_mean() -> None:
    output, target = drawn(0, *SHAPE), drawn(1, *SHAPE)
    expected = squared_errors(output, target) / output.numel()
    assert float(build("losses", "mse")(output, target)) == pytest.approx(expected, rel=1e-13)


@pytest.fixture(scope="module")
def perceptual() -> Perceptual:
    loss: Perceptual = build("losses", "perceptual:weights=random,resize=18")
    for name, buffer in loss.named_buffers():
        if name.endswith("bias"):  # random weights have none
            buffer.normal_(generator=torch.Generator().manual_seed(0))
    return loss.double()


def features(images: Tensor, weights: list[Tensor], side: int) -> list[Tensor]:
    """What VGG16 makes of images after layers 2, 7, 14, 21 and 28: the last convolution of each block."""
    x = F.interpolate(images, (side, side), mode="bilinear", align_corners=False)
    x = x.expand(-1, 3, -1, -1)
    x = (x - torch.tensor(MEAN).double()[:, None, None]) / torch.tensor(STD).double()[:, None, None]
    found, pairs = [], iter(zip(weights[::2], weights[1::2], strict=True))
    for block, num_convs in enumerate((2, 2, 3, 3, 3)):
        if block:
            x = F.max_pool2d(x.relu(), 2)
        for n in range(num_convs):
            x = F.conv2d(x.relu() if n else x, *next(pairs), padding=1)
        found.append(x)
    assert next(pairs, None) is None
    return found


@pytest.mark.parametrize("channels", [1, 3])
def test_perceptual_is_the_mse_of_pixels_plus_those_of_five_layers_of_vgg16(
    perceptual: Perceptual, channels: int
) -> None:
    weights = [buffer for name, buffer in perceptual.named_buffers() if name.endswith(("weight", "bias"))]
    output = torch.rand(2, channels, 9, 11, dtype=torch.float64, requires_grad=True)
    target = torch.rand(2, channels, 9, 11, dtype=torch.float64)
    copy = output.detach().clone().requires_grad_()
    expected = F.mse_loss(copy, target)
    for own, wanted in zip(features(copy, weights, 18), features(target, weights, 18), strict=True):
        expected = expected + (own - wanted).square().mean()
    found = perceptual(output, target)
    # The mean and standard deviation are kept in float32.
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    found.backward()
    expected.backward()
    torch.testing.assert_close(output.grad, copy.grad, rtol=1e-5, atol=1e-8)


def test_vgg16_sees_224_by_224_pixels_unless_told_otherwise() -> None:
    loss: Perceptual = build("losses", "perceptual:weights=random")
    seen: list[tuple[int, ...]] = []

    def note_and_cut(module: nn.Module, given: tuple[Tensor]) -> tuple[Tensor]:
        seen.append(tuple(given[0].shape))
        return (given[0][..., :16, :16],)

    loss.vgg.register_forward_pre_hook(note_and_cut)
    loss(torch.rand(1, 1, 28, 20), torch.rand(1, 1, 28, 20))
    assert seen == [(1, 3, 224, 224)] * 2


def test_the_smallest_resize_leaves_one_pixel_to_the_last_layer() -> None:
    loss = build("losses", "perceptual:weights=random,resize=16")
    assert torch.isfinite(loss(torch.rand(1, 3, 5, 5), torch.rand(1, 3, 5, 5)))


def test_vgg16s_weights_do_not_move_in_training(perceptual: Perceptual) -> None:
    before = [buffer.clone() for buffer in perceptual.buffers()]
    assert not any(buffer.requires_grad for buffer in perceptual.buffers())
    output = torch.rand(1, 1, 9, 9, dtype=torch.float64, requires_grad=True)
    perceptual.train()(output, torch.rand(1, 1, 9, 9, dtype=torch.float64)).backward()
    assert all(torch.equal(own, kept) for own, kept in zip(perceptual.buffers(), before, strict=True))
