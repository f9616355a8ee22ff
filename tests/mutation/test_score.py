from __future__ import annotations

import math

import pytest
from statsmodels.stats.proportion import proportion_confint

from mutation import score
from mutation.score import Tally


@pytest.mark.parametrize(("killed", "tried"), [(0, 1), (1, 1), (27, 30), (943, 1000), (1000, 1000)])
def test_the_interval_is_wilsons(killed: int, tried: int) -> None:
    found = score.wilson(killed / tried, tried)
    assert found.value == killed / tried
    expected = proportion_confint(killed, tried, alpha=0.05, method="wilson")
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-12)


def test_hung_and_crashed_mutants_are_detected_and_errors_are_not() -> None:
    tally = Tally.of(["killed", "timeout", "crashed", "survived", "no tests", "error"])
    assert tally.tried == 6
    assert tally.detected == 3
    assert tally.score == 0.5
    assert math.isnan(Tally({}).score)


def test_a_proportional_sample_has_the_plain_score_and_interval() -> None:
    tallies = {"a": Tally({"killed": 54, "survived": 6}), "b": Tally({"killed": 25, "survived": 15})}
    found = score.overall(tallies, {"a": 600, "b": 400})
    assert found.value == pytest.approx(0.79)
    expected = proportion_confint(79, 100, method="wilson")
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-12)


def test_a_module_counts_by_its_number_of_mutants_and_not_by_its_share_of_the_sample() -> None:
    tallies = {"large": Tally({"killed": 90, "survived": 10}), "small": Tally({"survived": 3})}
    found = score.overall(tallies, {"large": 990, "small": 10})
    assert found.value == pytest.approx(0.99 * 0.9)
    assert found.high - found.low > score.wilson(0.891, 103).high - score.wilson(0.891, 103).low


def test_modules_without_a_verdict_do_not_count() -> None:
    found = score.overall({"a": Tally({"killed": 3}), "b": Tally({})}, {"a": 5, "b": 500})
    assert found == score.wilson(1.0, 3)
    assert math.isnan(score.overall({}, {}).value)
