from __future__ import annotations

import pytest
import torch

from nnkit.errors import UsageError
from nnkit.models.conv_linear import ConvLinear


def test_a_closed_form_finds_the_colours_and_the_linear_map_again() -> None:
    torch.manual_seed(0)
    true = ConvLinear(image_size=(5, 4), target_size=(3, 2))
    model = ConvLinear(image_size=(5, 4), target_size=(3, 2), output="none")
    grey = torch.rand(2 * model.least_squares_images, 1, 5, 4)
    inputs = (grey + 0.1 * torch.rand(len(grey), 3, 5, 4)).clamp(0, 1)
    with torch.no_grad():
        targets = true(inputs)
        facts = model.fit_least_squares(inputs, targets)
        assert facts.keys() == {"iterations", "residual", "notes"}
        assert 1 < facts["iterations"] < 15
        assert facts["notes"] == []
        torch.testing.assert_close(model(inputs), targets, rtol=0, atol=1e-5)
        noise = torch.rand(9, 3, 5, 4)
        torch.testing.assert_close(model(noise), true(noise), rtol=0, atol=1e-5)


def test_it_asks_for_two_images_per_pixel_and_says_when_it_has_too_few() -> None:
    assert ConvLinear().least_squares_images == 2_050
    model, inputs = ConvLinear(image_size=(5, 4), target_size=(3, 2)), torch.rand(21, 3, 5, 4)
    assert model.least_squares_images == 42
    targets = inputs[:, :1, :3, :2]
    assert model.fit_least_squares(inputs, targets)["notes"] == []
    notes = model.fit_least_squares(inputs[:20], targets[:20])["notes"]
    assert notes == ["20 images for 21 unknowns per target pixel: the fit is not determined"]


def test_a_sigmoid_has_no_closed_form() -> None:
    with pytest.raises(UsageError, match="sigmoid"):
        ConvLinear(output="sigmoid").fit_least_squares(torch.rand(1, 3, 32, 32), torch.rand(1, 1, 28, 28))
