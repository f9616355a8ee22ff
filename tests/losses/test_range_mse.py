from __future__ import annotations

import pytest
import torch

from nnkit.errors import UsageError
from nnkit.losses.range_mse import RangeMse


def test_pixels_outside_the_range_count_weight_times_and_those_on_its_edge_once() -> None:
    output = torch.tensor([[[[-1.0, 0.0, 0.5, 1.0, 2.0]]]], requires_grad=True)
    loss = RangeMse(weight=3)(output, torch.full((1, 1, 1, 5), 4.0))
    assert loss.item() == 3 * 25 + 16 + 12.25 + 9 + 3 * 4
    loss.backward()
    assert output.grad is not None
    assert output.grad.flatten().tolist() == [3 * -10, -8, -7, -6, 3 * -4]


def test_it_says_that_it_sums() -> None:
    assert RangeMse().reduction == "sum"


@pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf")])
def test_a_weight_that_is_no_positive_number_is_refused(weight: float) -> None:
    with pytest.raises(UsageError, match="weight"):
        RangeMse(weight=weight)
