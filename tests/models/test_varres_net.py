from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nnkit.errors import UsageError
from nnkit.models.varres_net import VarresNet
from nnkit.poolings.amax import Amax
from nnkit.poolings.avg import Avg
from nnkit.poolings.max import Max
from padding import padded

Sizes = list[tuple[int, int]]
SIDE = st.integers(8, 37)


class TwoStatistics(nn.Module):
    """Mean and maximum: twice as many features as channels, and no mask."""

    def num_features(self, num_channels: int) -> int:
        return 2 * num_channels

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.cat([inputs.mean((2, 3)), inputs.amax((2, 3))], 1)


@pytest.mark.parametrize("pooling", [Max, Amax, Avg])
@pytest.mark.parametrize("fill", [0.0, 9.0, float("nan")])
@settings(max_examples=15, deadline=None, derandomize=True)
@given(sizes=st.lists(st.tuples(SIDE, SIDE), min_size=1, max_size=4))
def test_a_padded_batch_gives_what_each_image_gives_alone(
    pooling: type[nn.Module], fill: float, sizes: Sizes
) -> None:
    torch.manual_seed(0)
    model = VarresNet(width=12, pooling=pooling(), in_channels=2)  # type: ignore[arg-type]
    images = [torch.randn(2, *size) for size in sizes]
    alone = torch.cat([model(image[None]) for image in images])
    torch.testing.assert_close(model(*padded(images, fill)), alone, rtol=0, atol=1e-5)


def test_the_gradients_of_a_padded_batch_are_those_of_its_images_and_zero_elsewhere() -> None:
    torch.manual_seed(0)
    model = VarresNet(width=12, pooling=Max())
    images = [torch.randn(1, 35, 9), torch.randn(1, 16, 24)]
    batch, mask = padded(images, 3.0)
    batch.requires_grad_()
    model(batch, mask).square().sum().backward()
    of_batch = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    model.zero_grad()
    torch.stack([model(image[None]).square().sum() for image in images]).sum().backward()
    for got, parameter in zip(of_batch, model.parameters(), strict=True):
        torch.testing.assert_close(got, parameter.grad, rtol=1e-4, atol=1e-5)
    assert batch.grad is not None
    assert (batch.grad[~mask] == 0).all()


def test_a_mask_without_padding_changes_nothing() -> None:
    model, inputs = VarresNet(pooling=Avg()), torch.randn(2, 1, 19, 26)
    everywhere = torch.ones(2, 1, 19, 26, dtype=torch.bool)
    torch.testing.assert_close(model(inputs, everywhere), model(inputs))


def test_the_linear_layer_has_as_many_inputs_as_the_pooling_has_features() -> None:
    model = VarresNet(width=20, pooling=TwoStatistics())
    assert model.linear.in_features == 40
    assert model(torch.rand(3, 1, 30, 20)).shape == (3, 10)


def test_a_pooling_without_mask_pools_no_padded_batch() -> None:
    model = VarresNet(pooling=TwoStatistics())
    with pytest.raises(UsageError, match="TwoStatistics takes no mask"):
        model(torch.rand(1, 1, 16, 16), torch.ones(1, 1, 16, 16, dtype=torch.bool))


def test_the_class_itself_builds_no_pooling() -> None:
    with pytest.raises(TypeError, match=r"nnkit\.build"):
        VarresNet()
    with pytest.raises(TypeError, match="but got str"):
        VarresNet(pooling="max")  # type: ignore[arg-type]
