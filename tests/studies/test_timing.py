import time

import pytest

from nnkit.studies.timing import Timing, geometric_mean, interleave, paired_ratio


def test_every_arm_runs_once_per_round_in_an_order_that_the_seed_shuffles():
    def orders(seed):
        seen = []
        arms = {name: (lambda name=name: seen.append(name)) for name in "abc"}
        interleave(arms, rounds=8, seed=seed, warm_up=0)
        return [tuple(seen[at : at + 3]) for at in range(0, 24, 3)]

    assert all(sorted(order) == ["a", "b", "c"] for order in orders(0))
    assert len(set(orders(0))) > 1
    assert orders(0) == orders(0)
    assert orders(0) != orders(1)


def test_a_slower_arm_has_a_ratio_whose_interval_excludes_one():
    timings = interleave(
        {"slow": lambda: time.sleep(0.004), "fast": lambda: time.sleep(0.001)}, rounds=12, seed=0
    )
    ratio = paired_ratio(timings["slow"], timings["fast"])
    assert ratio.excludes_one
    assert ratio.low <= ratio.value <= ratio.high


def test_equal_samples_have_a_ratio_of_exactly_one():
    timing = Timing((1.0, 2.0, 3.0))
    ratio = paired_ratio(timing, timing)
    assert (ratio.low, ratio.value, ratio.high) == (1, 1, 1)
    assert not ratio.excludes_one


def test_median_range_and_noise_are_of_all_samples():
    timing = Timing((1.0, 1.0, 1.0, 9.0, 1.0))
    assert timing.median_s == 1
    assert timing.iqr_s == 0
    assert not timing.noisy
    assert Timing((1.0, 2.0, 3.0, 4.0)).noisy


def test_the_geometric_mean_of_a_ratio_and_its_inverse_is_one():
    assert geometric_mean([4, 0.25]) == pytest.approx(1)
