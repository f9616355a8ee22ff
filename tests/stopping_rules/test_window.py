from __future__ import annotations

import pytest

from nnkit.errors import UsageError
from nnkit.stopping_rules.window import Window
from nnkit.types import EpochResult

NAN, INF = float("nan"), float("inf")


def answers(rule: Window, values: list[float], metric: str = "val_loss") -> list[bool]:
    """After which epochs the rule stops."""
    epochs = (EpochResult(epoch=n, step=n, metrics={metric: value}) for n, value in enumerate(values, 1))
    return [rule.update(epoch) is not None for epoch in epochs]


def test_range_stops_when_the_last_values_lie_within_min_delta() -> None:
    rule = Window(epochs=3, min_delta=0.25)
    assert answers(rule, [1.0, 1.0, 0.5, 0.25, 0.375, 0.375]) == [False] * 5 + [True]


def test_lag_compares_the_value_so_many_epochs_ago_with_the_lowest_since() -> None:
    rule = Window(epochs=2, min_delta=0.25, variant="lag")
    assert answers(rule, [1.0, 0.5, 0.75, 0.625, 0.5, 0.5]) == [False, False, False, True, False, True]


def test_lag_stops_a_metric_that_gets_worse_and_range_does_not() -> None:
    worse = [1.0, 2.0, 3.0]
    assert answers(Window(epochs=2, variant="lag"), worse) == [False, False, True]
    assert answers(Window(epochs=2), worse) == [False, False, False]


def test_lag_looks_for_the_highest_where_more_is_better() -> None:
    rule = Window(metric="val_accuracy", epochs=2, min_delta=0.25, variant="lag")
    assert answers(rule, [0.25, 0.5, 0.375, 0.625], "val_accuracy") == [False, False, False, True]


@pytest.mark.parametrize("odd", [NAN, INF, -INF])
def test_a_value_that_is_not_finite_puts_off_the_answer_until_it_has_left(odd: float) -> None:
    assert answers(Window(epochs=2), [odd, 1.0, 1.0]) == [False, False, True]
    assert answers(Window(epochs=2), [1.0, odd, 1.0, 1.0]) == [False, False, False, True]


@pytest.mark.parametrize("variant", ["range", "lag"])
def test_a_window_without_a_finite_value_stops(variant: str) -> None:
    rule = Window(epochs=2, variant=variant)  # type: ignore[arg-type]
    assert answers(rule, [NAN, NAN, NAN])[-1]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"epochs": 0, "variant": "lag"}, "epochs=0"),
        ({"epochs": 1}, "epochs=1"),
        ({"min_delta": 0}, "min_delta=0"),
        ({"min_delta": NAN}, "min_delta=nan"),
        ({"variant": "slope"}, "variant='slope'"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, object], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        Window(**settings)  # type: ignore[arg-type]
