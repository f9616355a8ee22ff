from __future__ import annotations

import pytest
import torch

from nnkit.errors import UsageError
from nnkit.models.conv_linear import ConvLinear


def test_it_is_a_linear_layer_over_the_pixels_of_the_mixed_image() -> None:
    model = ConvLinear(image_size=(4, 5), target_size=(2, 3))
    inputs = torch.rand(2, 3, 4, 5)
    mixed = (inputs * model.conv.weight[0]).sum(1) + model.conv.bias
    expected = mixed.flatten(1) @ model.linear.weight.T + model.linear.bias
    torch.testing.assert_close(model(inputs).flatten(1), expected)


def test_no_channels_are_refused() -> None:
    with pytest.raises(UsageError, match="in_channels=0"):
        ConvLinear(in_channels=0)
