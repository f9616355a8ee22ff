from __future__ import annotations

import pytest
import torch

from nnkit.errors import UsageError
from nnkit.models.conv_linear import ConvLinear


def test_no_channels_are_refused() -> None:
    with pytest.raises(UsageError, match="in_channels=0"):
        ConvLinear(in_channels=0)


def test_a_closed_form_finds_the_colours_and_the_linear_map_again() -> None:
    torch.manual_seed(0)
    true = ConvLinear(image_size=(5, 4), target_size=(3, 2))
    model = ConvLinear(image_size=(5, 4), target_size=(3, 2), output="none")
    grey = torch.rand(2 * model.closed_form_images, 1, 5, 4)
    inputs = (grey + 0.1 * torch.rand(len(grey), 3, 5, 4)).clamp(0, 1)
    with torch.no_grad():
        targets = true(inputs)
        facts = model.fit_closed_form(inputs, targets)
        assert facts["notes"] == []
        torch.testing.assert_close(model(inputs), targets, rtol=0, atol=1e-5)
        noise = torch.rand(9, 3, 5, 4)
        torch.testing.assert_close(model(noise), true(noise), rtol=0, atol=1e-5)


def test_a_sigmoid_has_no_closed_form() -> None:
    with pytest.raises(UsageError, match="sigmoid"):
        ConvLinear(output="sigmoid").fit_closed_form(torch.rand(1, 3, 32, 32), torch.rand(1, 1, 28, 28))
