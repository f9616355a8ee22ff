"""nnkit's contract tests of each pooling, and the limits that their formulas have."""

from typing import ClassVar

import pytest
import torch
from nnkit_poolings import Attention, Gem, LogSumExp, MaxAvg

from nnkit.testing import PoolingContract

FEATURES = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0)) + 0.1


class TestGem(PoolingContract):
    component = Gem


class TestLearnedGem(PoolingContract):
    component = Gem
    settings: ClassVar = {"learn": True}


class TestLogSumExp(PoolingContract):
    component = LogSumExp


class TestAttention(PoolingContract):
    component = Attention


class TestMaxAvg(PoolingContract):
    component = MaxAvg


@pytest.mark.parametrize("pooling", [Gem(p=1), LogSumExp(r=1e-3), Attention(scale=0)])
def test_one_end_of_each_setting_is_the_mean(pooling: torch.nn.Module) -> None:
    torch.testing.assert_close(pooling(FEATURES), FEATURES.mean((2, 3)), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("pooling", [Gem(p=80), LogSumExp(r=500)])
def test_the_other_end_is_the_maximum(pooling: torch.nn.Module) -> None:
    torch.testing.assert_close(pooling(FEATURES), FEATURES.amax((2, 3)), rtol=0.06, atol=0.0)


@pytest.mark.parametrize("make", [lambda: Gem(p=0.5), lambda: Gem(eps=0), lambda: LogSumExp(r=0)])
def test_settings_out_of_range_are_refused(make: object) -> None:
    with pytest.raises(ValueError, match="it must be"):
        make()  # type: ignore[operator]
