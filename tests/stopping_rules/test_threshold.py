from __future__ import annotations

import pytest

from nnkit.errors import UsageError
from nnkit.stopping_rules.threshold import Threshold
from nnkit.types import EpochResult

NAN = float("nan")


def answers(rule: Threshold, values: list[float], metric: str = "val_loss") -> list[bool]:
    """After which epochs the rule stops."""
    epochs = (EpochResult(epoch=n, step=n, metrics={metric: value}) for n, value in enumerate(values, 1))
    return [rule.update(epoch) is not None for epoch in epochs]


def test_it_stops_below_the_bound_and_not_on_it() -> None:
    assert answers(Threshold(below=0.5), [0.6, 0.5, 0.49]) == [False, False, True]


def test_it_stops_above_the_bound_and_not_on_it() -> None:
    rule = Threshold(metric="val_accuracy", above=0.9)
    assert answers(rule, [0.8, 0.9, 0.91], "val_accuracy") == [False, False, True]


def test_nan_never_stops() -> None:
    assert answers(Threshold(below=0.5), [NAN]) == answers(Threshold(above=0.5), [NAN]) == [False]


def test_a_bound_of_zero_is_a_bound() -> None:
    assert answers(Threshold(below=0), [0, -1]) == [False, True]


@pytest.mark.parametrize("bounds", [{}, {"below": 1.0, "above": 0.0}, {"below": NAN}])
def test_exactly_one_bound_is_given(bounds: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="one of below and above"):
        Threshold(**bounds)  # type: ignore[arg-type]
