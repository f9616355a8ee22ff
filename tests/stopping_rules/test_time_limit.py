from __future__ import annotations

import pytest

from nnkit.errors import UsageError
from nnkit.stopping_rules.time_limit import TimeLimit
from nnkit.types import EpochResult


def answer(rule: TimeLimit, seconds: float) -> str | None:
    return rule.update(EpochResult(epoch=1, step=1, metrics={}, seconds=seconds))


def test_it_stops_with_the_epoch_that_reaches_the_limit() -> None:
    rule = TimeLimit(minutes=1)
    assert [answer(rule, seconds) for seconds in (30, 29)] == [None, None]
    assert answer(rule, 4) == "1.05 minutes have passed, of at most 1"


def test_a_resumed_run_counts_what_went_before() -> None:
    before, after = TimeLimit(minutes=1), TimeLimit(minutes=1)
    answer(before, 59)
    after.load_state_dict(before.state_dict())
    assert answer(after, 1) is not None


def test_a_time_that_is_nan_counts_as_none() -> None:
    rule = TimeLimit(minutes=1)
    assert answer(rule, float("nan")) is None
    assert answer(rule, 60) is not None


@pytest.mark.parametrize("minutes", [0, -1, float("nan"), float("inf")])
def test_minutes_are_a_positive_number(minutes: float) -> None:
    with pytest.raises(UsageError, match="minutes"):
        TimeLimit(minutes=minutes)
