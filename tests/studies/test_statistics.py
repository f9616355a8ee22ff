"""Means, their intervals and paired differences are SciPy's, and hold what they claim."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from nnkit.studies.statistics import Estimate, differences, estimate

SHARES = st.floats(0, 1, allow_subnormal=False)


def paired_difference(a: Sequence[float | None], b: Sequence[float | None]) -> Estimate:
    return estimate(differences(a, b))


@given(st.lists(SHARES, min_size=3, max_size=12))
def test_a_mean_and_its_interval_are_scipys(values: list[float]) -> None:
    found = estimate(values)
    assert found.num == len(values)
    assert found.mean == pytest.approx(np.mean(values), rel=1e-12, abs=1e-15)
    if np.std(values) > 1e-12:
        error = scipy.stats.sem(values)
        low, high = scipy.stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=error)
        assert found.ci95 == pytest.approx((low, high), rel=1e-7, abs=1e-12)
    assert found.excludes_zero == (found.ci95[0] > 0 or found.ci95[1] < 0)  # type: ignore[index]


@given(st.lists(st.tuples(SHARES | st.none(), SHARES | st.none()), max_size=10))
def test_a_paired_difference_is_that_of_scipys_paired_test_over_the_whole_pairs(
    pairs: list[tuple[float | None, float | None]],
) -> None:
    found = paired_difference([a for a, _ in pairs], [b for _, b in pairs])
    whole = [(a, b) for a, b in pairs if a is not None and b is not None]
    assert found.num == len(whole)
    if not whole:
        assert found == Estimate(None, None, 0)
        return
    whole_differences = [a - b for a, b in whole]
    assert found.mean == pytest.approx(np.mean(whole_differences), abs=1e-12)
    if len(whole) < 3:
        assert found.ci95 is None
    elif np.std(whole_differences) > 1e-6:
        theirs = scipy.stats.ttest_rel(*zip(*whole, strict=True))
        interval = theirs.confidence_interval(0.95)
        assert found.ci95 == pytest.approx((interval.low, interval.high), rel=1e-7, abs=1e-9)
        if abs(theirs.pvalue - 0.05) > 1e-6:
            assert found.excludes_zero == (theirs.pvalue < 0.05)


def test_two_lists_of_different_lengths_have_no_pairs() -> None:
    with pytest.raises(ValueError, match="shorter"):
        paired_difference([0.1, 0.2], [0.1])


def test_the_interval_of_a_known_sample_is_that_of_the_textbook() -> None:
    # Mean 3, standard deviation sqrt(2.5), half width 2.776445 * sqrt(2.5 / 5).
    found = estimate([1.0, 2.0, 3.0, 4.0, 5.0])
    half = 2.7764451051977987 * math.sqrt(0.5)
    assert found.mean == 3
    assert found.ci95 == pytest.approx((3 - half, 3 + half))


@pytest.mark.parametrize(
    ("ci95", "excludes"),
    [
        ((0.1, 0.2), True),
        ((-0.2, -0.1), True),
        ((-0.1, 0.2), False),
        ((0.0, 0.2), False),  # zero is in the interval where it ends there
        ((-0.2, 0.0), False),
        ((0.0, 0.0), False),
        (None, False),
    ],
)
def test_zero_is_excluded_where_it_lies_outside_the_interval(
    ci95: tuple[float, float] | None, excludes: bool
) -> None:
    assert Estimate(0.1, ci95, 3).excludes_zero is excludes


def test_two_values_have_no_interval_and_none_has_no_mean() -> None:
    """Student's t of 0.19 and 0.53 would reach from -1.8 to 2.5."""
    assert estimate([0.19, 0.53]) == Estimate(pytest.approx(0.36), None, 2)
    assert not estimate([0.9, 0.9]).excludes_zero
    assert estimate([0.7]) == Estimate(0.7, None, 1)
    assert estimate([None, 0.7]) == Estimate(0.7, None, 1)
    assert estimate([None]) == Estimate(None, None, 0)


def test_pairing_finds_what_the_spread_of_the_seeds_hides() -> None:
    b = [0.90, 0.94, 0.92, 0.96, 0.93]
    a = [x + shift for x, shift in zip(b, [0.010, 0.011, 0.009, 0.010, 0.012], strict=True)]
    difference = paired_difference(a, b)
    low, high = estimate(a).ci95 or (math.nan, math.nan)
    assert difference.excludes_zero
    assert low < (estimate(b).mean or math.nan) < high


def test_ninety_five_of_a_hundred_intervals_hold_the_true_mean() -> None:
    rng = random.Random(0)
    samples = [[rng.gauss(0, 1) for _ in range(5)] for _ in range(2000)]
    wrong = sum(estimate(sample).excludes_zero for sample in samples)
    # 100 are expected, with a standard deviation of 9.7.
    assert 70 <= wrong <= 130


def test_an_interval_is_cut_to_the_values_that_are_possible() -> None:
    found = estimate([0.99, 1.0, 0.97]).within(0, 1)
    assert found.ci95 is not None
    assert 0.9 < found.ci95[0] < found.ci95[1] == 1
    low = estimate([0.0, 0.05, 0.01]).within(0, 1)
    assert low.ci95 is not None
    assert 0 == low.ci95[0] < low.ci95[1] < 0.1
    assert estimate([0.5]).within(0, 1) == estimate([0.5])
