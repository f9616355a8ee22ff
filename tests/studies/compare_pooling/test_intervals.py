"""Means, their intervals and paired differences are SciPy's, and hold what they claim."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from nnkit.studies.compare_pooling.intervals import Estimate, estimate, paired_difference, t_quantile

SHARES = st.floats(0, 1, allow_subnormal=False)


@given(
    st.floats(1e-6, 1 - 1e-6),
    st.one_of(st.integers(1, 60), st.sampled_from([120, 1000, 10**5])),
)
def test_quantiles_are_scipys(probability: float, degrees: int) -> None:
    wanted = scipy.stats.t.ppf(probability, degrees)
    assert t_quantile(probability, degrees) == pytest.approx(wanted, rel=1e-8, abs=1e-9)


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 9, 29, 120, 1000])
@pytest.mark.parametrize("probability", [0.5, 0.75, 0.9, 0.95, 0.975, 0.995, 0.9999])
def test_quantiles_of_the_usual_levels_agree_to_ten_digits_on_both_sides(
    probability: float, degrees: int
) -> None:
    wanted = scipy.stats.t.ppf(probability, degrees)
    assert t_quantile(probability, degrees) == pytest.approx(wanted, rel=1e-10, abs=1e-12)
    assert t_quantile(1 - probability, degrees) == pytest.approx(-wanted, rel=1e-10, abs=1e-12)


def test_one_degree_is_the_cauchy_distribution_and_many_are_the_normal_one() -> None:
    for probability in (0.6, 0.9, 0.999):
        assert t_quantile(probability, 1) == pytest.approx(math.tan(math.pi * (probability - 0.5)), rel=1e-9)
    assert t_quantile(0.975, 10**7) == pytest.approx(scipy.stats.norm.ppf(0.975), abs=1e-6)


@pytest.mark.parametrize(
    ("probability", "degrees"),
    [(0.0, 3), (1.0, 3), (-0.1, 3), (1.1, 3), (0.9, 0), (0.9, -1), (math.nan, 3)],
)
def test_arguments_out_of_range_are_refused(probability: float, degrees: int) -> None:
    with pytest.raises(ValueError, match=f"quantile of probability {probability} with {degrees} degrees"):
        t_quantile(probability, degrees)


@given(st.lists(SHARES, min_size=2, max_size=12))
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
    differences = [a - b for a, b in whole]
    assert found.mean == pytest.approx(np.mean(differences), abs=1e-12)
    if len(whole) < 2:
        assert found.ci95 is None
    elif np.std(differences) > 1e-6:
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


def test_one_value_has_no_interval_and_none_has_no_mean() -> None:
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
