from __future__ import annotations

import torch

from nnkit.sums import sum_type


def test_sums_are_float64_where_the_device_has_it() -> None:
    assert sum_type(torch.device("cpu")) is sum_type(torch.device("cuda:1")) is torch.float64
    assert sum_type(torch.device("mps")) is torch.float32
