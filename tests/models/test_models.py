"""What the reports say of the built-in models, and `output` of those that make images."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from nnkit.models.conv4 import Conv4
from nnkit.models.conv_linear import ConvLinear
from nnkit.models.conv_shrink import ConvShrink
from nnkit.models.linear import Linear
from nnkit.models.mlp_bottleneck import MlpBottleneck
from nnkit.models.mnist_convnet import MnistConvnet
from nnkit.models.separable import Separable
from nnkit.models.transform_net import TransformNet
from nnkit.models.varres_net import VarresNet
from nnkit.poolings.max import Max

IMAGE_SIZE, TARGET_SIZE = (18, 13), (14, 9)
COLOUR = {"in_channels": 2, "target_channels": 3, "target_size": TARGET_SIZE}
SIZED = COLOUR | {"image_size": IMAGE_SIZE}

TRANSFORMS: dict[str, Callable[..., nn.Module]] = {
    "conv-linear": lambda **more: ConvLinear(**SIZED, **more),
    "linear": lambda **more: Linear(**SIZED, **more),
    "conv-shrink-3": lambda **more: ConvShrink(kernel=3, **SIZED, **more),
    "conv-shrink-5": lambda **more: ConvShrink(kernel=5, **SIZED, **more),
    "transform-net": lambda **more: TransformNet(**COLOUR, **more),
    "mlp-bottleneck": lambda **more: MlpBottleneck(hidden=5, **SIZED, **more),
    "conv4": lambda **more: Conv4(width=6, **COLOUR, **more),
    "separable": lambda **more: Separable(**SIZED, **more),
}


def images(batch: int, size: tuple[int, int] = IMAGE_SIZE, channels: int = 2) -> Tensor:
    return torch.rand(batch, channels, *size, generator=torch.Generator().manual_seed(0))


def num_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", TRANSFORMS)
def test_output_brings_images_into_range(name: str) -> None:
    inputs = 50 * images(3) - 25
    outputs = {}
    for output in ("none", "clamp", "sigmoid"):
        torch.manual_seed(0)
        outputs[output] = TRANSFORMS[name](output=output).eval()(inputs)
    plain = outputs["none"]
    assert plain.min() < 0
    assert plain.max() > 1
    assert torch.equal(outputs["clamp"], plain.clamp(0, 1))
    assert torch.equal(outputs["sigmoid"], plain.sigmoid())


@pytest.mark.parametrize(
    ("model", "count"),
    [
        (ConvLinear, 803_604),
        (Linear, 2_409_232),
        (ConvShrink, 38),
        (lambda: ConvShrink(kernel=5), 76),
        (TransformNet, 3),
        (MlpBottleneck, 494_480),
        (Conv4, 135_361),
        (Separable, 1_795),
        (MnistConvnet, 29_066),
        (lambda: MnistConvnet(conv="unfold"), 29_066),
        (lambda: VarresNet(pooling=Max()), 23_946),
        (lambda: VarresNet(width=81, pooling=Max()), 29_029),
        (lambda: VarresNet(width=82, pooling=Max()), 29_328),
    ],
)
def test_a_model_has_as_many_parameters_as_the_reports_say(
    model: Callable[[], nn.Module], count: int
) -> None:
    assert num_parameters(model()) == count


@pytest.mark.parametrize(
    "model", [ConvLinear, Linear, ConvShrink, TransformNet, MlpBottleneck, Conv4, Separable]
)
def test_a_transform_model_alone_maps_cifar_images_to_grey_ones(model: Callable[[], nn.Module]) -> None:
    assert model()(images(2, (32, 32), 3)).shape == (2, 1, 28, 28)
