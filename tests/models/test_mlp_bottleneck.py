from __future__ import annotations

import pytest
import torch

from nnkit.errors import UsageError
from nnkit.models.mlp_bottleneck import MlpBottleneck


def test_but_for_the_sigmoid_it_is_a_linear_map_of_rank_hidden() -> None:
    sizes = {"image_size": (4, 4), "target_size": (4, 4)}
    model = MlpBottleneck(hidden=3, in_channels=1, output="none", **sizes).double()
    zero = model(torch.zeros(1, 1, 4, 4, dtype=torch.float64))
    images = torch.eye(16, dtype=torch.float64).view(16, 1, 4, 4)
    assert torch.linalg.matrix_rank((model(images) - zero).flatten(1)) == 3


def test_it_ends_in_a_sigmoid_unless_told_otherwise() -> None:
    output = MlpBottleneck()(torch.randn(2, 3, 32, 32))
    assert output.min() > 0
    assert output.max() < 1


def test_an_empty_bottleneck_is_refused() -> None:
    with pytest.raises(UsageError, match="hidden=0"):
        MlpBottleneck(hidden=0)
