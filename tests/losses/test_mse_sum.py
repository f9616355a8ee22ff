from __future__ import annotations

import torch

from nnkit.losses.mse_sum import MseSum


def test_it_sums_over_everything_and_says_so() -> None:
    output, target = torch.rand(3, 2, 4, 5), torch.rand(3, 2, 4, 5)
    loss = MseSum()
    torch.testing.assert_close(loss(output, target), ((output - target) ** 2).mean() * 3 * 2 * 4 * 5)
    assert loss.reduction == "sum"
