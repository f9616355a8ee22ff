"""Changes between runs against SciPy's t-test, and p-values adjusted for their number."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from nnkit.studies.bench.between_runs import change_between, holm


@pytest.mark.parametrize(("num_a", "num_b"), [(2, 2), (3, 5), (1, 4), (6, 1)])
def test_interval_and_p_value_are_those_of_students_t_test(num_a: int, num_b: int) -> None:
    rng = np.random.default_rng(num_a)
    a, b = rng.normal(0, 1, num_a), rng.normal(0.5, 1, num_b)
    found = change_between(a, b)
    assert found.freedom == num_a + num_b - 2
    if min(num_a, num_b) > 1:
        for limit in (0.0, 0.3):
            theirs = scipy.stats.ttest_ind(b - limit, a, alternative="greater")
            assert found.p_above(limit) == pytest.approx(theirs.pvalue)
        interval = scipy.stats.ttest_ind(b, a).confidence_interval(0.95)
        assert found.difference - found.half_width() == pytest.approx(interval.low)
        assert found.difference + found.half_width() == pytest.approx(interval.high)
    else:
        spread = np.std(a if num_a > 1 else b, ddof=1)
        assert found.error == pytest.approx(spread * math.sqrt(1 / num_a + 1 / num_b))
    assert found.half_width(0.001) > found.half_width()


def test_of_one_run_a_side_nothing_is_known() -> None:
    found = change_between([0.0], [1.0])
    assert found.difference == 1
    assert math.isnan(found.error)
    assert math.isnan(found.half_width())
    assert found.p_above(0) == 1


def test_runs_that_do_not_differ_leave_no_doubt() -> None:
    found = change_between([0.0, 0.0], [1.0, 1.0])
    assert (found.error, found.half_width()) == (0, 0)
    assert [found.p_above(limit) for limit in (0.5, 1.0, 1.5)] == [0, 1, 1]


@pytest.mark.parametrize(
    ("given", "adjusted"),
    [
        ([0.02], [0.02]),
        # The smallest counts three times, the next twice, the largest once, and none is under a smaller one.
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),
        ([0.5, 0.001, 0.02, 0.004], [0.5, 0.004, 0.04, 0.012]),
        ([0.4, 0.9, 0.5], [1, 1, 1]),
        ([0.0, 0.0], [0, 0]),
    ],
)
def test_p_values_are_adjusted_for_their_number_by_holms_method(
    given: list[float], adjusted: list[float]
) -> None:
    assert holm(given) == pytest.approx(adjusted)
