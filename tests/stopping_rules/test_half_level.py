from __future__ import annotations

from typing import Any

import pytest

from nnkit.errors import UsageError
from nnkit.stopping_rules.half_level import HalfLevel
from nnkit.types import EpochResult


def answer(rule: HalfLevel, value: float) -> str | None:
    return rule.update(EpochResult(epoch=1, step=1, metrics={"val_mae_sum": value}))


def test_the_limit_is_the_reports() -> None:
    assert HalfLevel().limit == pytest.approx(1.537, abs=5e-4)
    assert HalfLevel(target_channels=3, target_size=(10, 17)).limit == pytest.approx(1)


def test_it_stops_under_the_limit_and_not_on_it() -> None:
    rule = HalfLevel()
    assert answer(rule, rule.limit) is None
    assert answer(rule, float("nan")) is None
    assert (
        answer(rule, 1.53) == "val_mae_sum is 1.53, below 1.537: half an 8-bit value for each of 784 values"
    )


@pytest.mark.parametrize(
    "target",
    [{"target_size": (0, 28)}, {"target_size": (28,)}, {"target_size": (28, 28, 28)}, {"target_channels": 0}],
)
def test_a_target_without_pixels_is_refused(target: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="target_channels and target_size to be at least 1"):
        HalfLevel(**target)
