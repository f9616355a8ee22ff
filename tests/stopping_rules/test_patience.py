from __future__ import annotations

import pytest

from nnkit.errors import UsageError
from nnkit.stopping_rules.patience import Patience
from nnkit.types import EpochResult

NAN = float("nan")


def answers(rule: Patience, values: list[float], metric: str = "val_loss") -> list[bool]:
    """After which epochs the rule stops."""
    epochs = (EpochResult(epoch=n, step=n, metrics={metric: value}) for n, value in enumerate(values, 1))
    return [rule.update(epoch) is not None for epoch in epochs]


def test_it_stops_after_so_many_epochs_in_a_row_without_improvement() -> None:
    values = [1.0, 0.9, 0.95, 0.9, 0.8, 0.85, 0.81, 0.8]
    assert answers(Patience(patience=3), values) == [False] * 7 + [True]


def test_small_steps_count_once_they_add_up_to_min_delta() -> None:
    rule = Patience(patience=2, min_delta=0.25)
    assert answers(rule, [1.0, 0.875, 0.75, 0.625, 0.5625]) == [False, False, False, False, True]


def test_an_improvement_by_just_min_delta_counts() -> None:
    assert answers(Patience(patience=1, min_delta=0.5), [1.0, 0.5, 0.25]) == [False, False, True]


def test_more_is_better_for_accuracy() -> None:
    rule = Patience(metric="val_accuracy", patience=1)
    assert answers(rule, [0.1, 0.2, 0.3, 0.25], "val_accuracy") == [False, False, False, True]


def test_nan_uses_up_patience() -> None:
    assert answers(Patience(patience=2), [NAN, 1.0, NAN, NAN]) == [False, False, False, True]
    assert answers(Patience(patience=2), [NAN, NAN]) == [False, True]


def test_the_reason_says_what_it_waited_for() -> None:
    rule = Patience(patience=1)
    rule.update(EpochResult(epoch=1, step=1, metrics={"val_loss": 0.25}))
    reason = rule.update(EpochResult(epoch=2, step=2, metrics={"val_loss": 0.5}))
    assert reason == "val_loss has not improved for 1 epoch: best 0.25, now 0.5"


@pytest.mark.parametrize(("setting", "value"), [("patience", 0), ("min_delta", -1.0), ("min_delta", NAN)])
def test_settings_that_mean_nothing_are_refused(setting: str, value: float) -> None:
    with pytest.raises(UsageError, match=setting):
        Patience(**{setting: value})  # type: ignore[arg-type]
