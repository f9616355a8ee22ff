from __future__ import annotations

import pytest
import torch

from nnkit.errors import UsageError
from nnkit.models.linear import Linear


def test_each_value_of_the_target_sees_each_value_of_the_image() -> None:
    model = Linear(image_size=(3, 4), target_size=(2, 2))
    inputs = torch.rand(1, 3, 3, 4, requires_grad=True)
    model(inputs)[0, 0, 1, 1].backward()
    assert inputs.grad is not None
    assert (inputs.grad != 0).all()


def test_an_empty_target_is_refused() -> None:
    with pytest.raises(UsageError, match="target_size"):
        Linear(target_size=(0, 28))
