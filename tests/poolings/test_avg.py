from __future__ import annotations

import torch

from nnkit.poolings.avg import Avg


def test_with_a_mask_each_image_is_divided_by_its_own_number_of_pixels() -> None:
    inputs = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]], [[[5.0, 2.0], [3.0, 6.0]]]])
    mask = torch.tensor([[[[True, True], [True, True]]], [[[True, False], [False, False]]]])
    assert Avg()(inputs, mask).tolist() == [[3], [5]]
