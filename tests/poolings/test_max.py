from __future__ import annotations

import torch

from nnkit.poolings.max import Max


def test_the_first_of_equal_pixels_gets_the_gradient() -> None:
    inputs = torch.tensor([[[[1.0, 3.0], [3.0, 2.0]]]], requires_grad=True)
    output = Max()(inputs)
    assert output.tolist() == [[3]]
    output.sum().backward()
    assert inputs.grad is not None
    assert inputs.grad.flatten().tolist() == [0, 1, 0, 0]
