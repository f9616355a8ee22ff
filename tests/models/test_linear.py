from __future__ import annotations

import pytest
import torch

from nnkit.errors import UsageError
from nnkit.models.linear import Linear


@pytest.mark.parametrize("output", ["none", "clamp"])
def test_a_closed_form_finds_a_linear_map_with_its_offset_again(output: str) -> None:
    model = Linear(image_size=(5, 4), target_size=(3, 2), output=output)  # type: ignore[arg-type]
    torch.manual_seed(0)
    inputs, matrix = torch.rand(model.least_squares_images, 3, 5, 4), torch.rand(6, 60) / 60
    targets = (inputs.flatten(1) @ matrix.T + 0.1).view(-1, 1, 3, 2)
    assert model.fit_least_squares(inputs, targets) == {"iterations": 1, "notes": []}
    with torch.no_grad():
        torch.testing.assert_close(model.linear.weight, matrix, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(model(inputs), targets, rtol=0, atol=1e-5)


def test_with_fewer_images_than_unknowns_it_says_that_the_fit_is_not_determined() -> None:
    model, inputs = Linear(image_size=(5, 4), target_size=(1, 1)), torch.rand(8, 3, 5, 4)
    targets = inputs.mean((1, 2, 3)).view(-1, 1, 1, 1)
    notes = model.fit_least_squares(inputs, targets)["notes"]
    assert notes == ["8 images for 61 unknowns per target value: the fit is not determined"]
    for num, notes in ((60, 1), (61, 0)):
        enough = torch.rand(num, 3, 5, 4)
        assert len(model.fit_least_squares(enough, enough[:, :1, :1, :1])["notes"]) == notes
    model.fit_least_squares(inputs, targets)
    with torch.no_grad():
        torch.testing.assert_close(model(inputs), targets, rtol=0, atol=1e-5)


def test_it_asks_for_1_3_images_per_unknown() -> None:
    assert Linear().least_squares_images == 3_994
    assert Linear(image_size=(5, 4)).least_squares_images == int(1.3 * 61)


def test_a_sigmoid_has_no_closed_form() -> None:
    with pytest.raises(UsageError, match="sigmoid"):
        Linear(output="sigmoid").fit_least_squares(torch.rand(1, 3, 32, 32), torch.rand(1, 1, 28, 28))
