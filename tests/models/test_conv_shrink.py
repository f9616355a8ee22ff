from __future__ import annotations

import pytest
import torch
from torch import nn

from nnkit.errors import UsageError
from nnkit.models.conv_shrink import ConvShrink


@pytest.mark.parametrize(("kernel", "num_convs"), [(3, 2), (5, 1)])
def test_two_small_or_one_large_convolution_lead_from_32_to_28(kernel: int, num_convs: int) -> None:
    convs = ConvShrink(kernel=kernel).convs  # type: ignore[arg-type]
    sizes = [conv.kernel_size for conv in convs if isinstance(conv, nn.Conv2d)]
    assert sizes == [(kernel, kernel)] * num_convs


def test_the_image_comes_out_flipped_on_both_axes() -> None:
    model = ConvShrink(kernel=5, in_channels=1, image_size=(9, 11), target_size=(5, 7))
    with torch.no_grad():
        model.convs[0].weight.zero_()[0, 0, 2, 2] = 1  # type: ignore[operator,union-attr]
        model.convs[0].bias.zero_()  # type: ignore[operator,union-attr]
    inputs = torch.rand(2, 1, 9, 11)
    assert torch.equal(model(inputs), inputs[:, :, 2:-2, 2:-2].flip(2, 3))


@pytest.mark.parametrize("target_size", [(32, 32), (31, 31), (28, 30), (36, 36), (26, 26)])
def test_a_target_that_no_number_of_convolutions_reaches_is_refused(target_size: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="each takes 4 rows and as many columns"):
        ConvShrink(kernel=5, target_size=target_size)


def test_a_kernel_of_another_size_is_refused() -> None:
    with pytest.raises(UsageError, match="kernel=4"):
        ConvShrink(kernel=4)  # type: ignore[arg-type]
