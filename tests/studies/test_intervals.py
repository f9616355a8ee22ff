"""Means and their intervals are those of the tables of Student's t."""

from __future__ import annotations

import math
import random

import pytest

from nnkit.studies.intervals import estimate, paired_difference, t_quantile

# Two-sided 95 % points as statistical tables and programs give them.
TABLE = {
    1: 12.706204736174705,
    2: 4.302652729749464,
    3: 3.1824463052837091,
    4: 2.7764451051977987,
    9: 2.2621571627409915,
    29: 2.0452296421327030,
    120: 1.9799304050824413,
    1000: 1.9623390808264074,
}


@pytest.mark.parametrize(("degrees", "value"), TABLE.items())
def test_quantiles_are_those_of_the_table(degrees: int, value: float) -> None:
    assert t_quantile(0.975, degrees) == pytest.approx(value, rel=1e-9)


def test_other_levels_and_the_lower_side_are_right() -> None:
    assert t_quantile(0.95, 5) == pytest.approx(2.015048373333024, rel=1e-9)
    assert t_quantile(0.995, 10) == pytest.approx(3.169272672616951, rel=1e-9)
    assert t_quantile(0.025, 4) == pytest.approx(-TABLE[4], rel=1e-9)
    assert t_quantile(0.5, 7) == pytest.approx(0, abs=1e-9)


def test_one_degree_is_the_cauchy_distribution_and_many_are_the_normal_one() -> None:
    for probability in (0.6, 0.9, 0.999):
        assert t_quantile(probability, 1) == pytest.approx(math.tan(math.pi * (probability - 0.5)), rel=1e-9)
    assert t_quantile(0.975, 10**7) == pytest.approx(1.959963984540054, abs=1e-6)


@pytest.mark.parametrize(("probability", "degrees"), [(0.0, 3), (1.0, 3), (0.9, 0), (math.nan, 3)])
def test_arguments_out_of_range_are_refused(probability: float, degrees: int) -> None:
    with pytest.raises(ValueError, match="quantile"):
        t_quantile(probability, degrees)


def test_the_interval_of_a_known_sample_is_that_of_the_textbook() -> None:
    # Mean 3, standard deviation sqrt(2.5), half width 2.776445 * sqrt(2.5 / 5).
    found = estimate([1.0, 2.0, 3.0, 4.0, 5.0])
    half = 2.7764451051977987 * math.sqrt(0.5)
    assert found.mean == 3
    assert found.ci95 == pytest.approx((3 - half, 3 + half))
    assert found.num == 5


def test_one_value_has_no_interval_and_none_has_no_mean() -> None:
    assert estimate([0.7]).ci95 is None
    assert not estimate([0.7]).excludes_zero
    assert estimate([None]).mean is None


def test_a_missing_value_takes_its_pair_along() -> None:
    found = paired_difference([0.9, None, 0.7, 0.8], [0.8, 0.1, None, 0.6])
    assert found.mean == pytest.approx(0.15)
    assert found.num == 2


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
    assert 70 <= wrong <= 130
