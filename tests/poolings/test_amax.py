from __future__ import annotations

import torch

from nnkit.poolings.amax import Amax


def test_equal_pixels_share_the_gradient() -> None:
    inputs = torch.tensor([[[[1.0, 3.0], [3.0, 2.0]]]], requires_grad=True)
    output = Amax()(inputs)
    assert output.tolist() == [[3]]
    output.sum().backward()
    assert inputs.grad is not None
    assert inputs.grad.flatten().tolist() == [0, 0.5, 0.5, 0]
