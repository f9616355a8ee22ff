"""Rounds, warm-ups and clock of `interleave`; medians, ratios and verdicts against NumPy and SciPy."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_clock import FakeClock
from fake_clock import clock as clock
from nnkit.studies.bench import timing
from nnkit.studies.bench.timing import (
    Ratio,
    Timing,
    bootstrap_median,
    bootstrap_median_ratio,
    interleave,
    paired_ratio,
    verdict,
)

CUDA = torch.device("cuda:1")
SECONDS = st.floats(1e-6, 1e3)


def arms_of(clock: FakeClock, **seconds: float) -> dict[str, Callable[[], object]]:
    """Arms that take so many seconds each and leave their name among the clock's events."""
    return {name: (lambda name=name, s=s: clock.tick(s, name)) for name, s in seconds.items()}


def runs_of(clock: FakeClock) -> list[str]:
    return [event for event in clock.events if event != "clock" and not event.startswith("synchronise")]


# What runs, how often and in which order.


@pytest.mark.parametrize(("rounds", "warm_up"), [(1, 0), (4, 1), (7, 3)])
def test_each_arm_runs_its_warm_ups_and_once_in_every_round(
    clock: FakeClock, rounds: int, warm_up: int
) -> None:
    arms = arms_of(clock, a=1, b=2, c=3)
    timings = interleave(arms, rounds=rounds, warm_up=warm_up)
    ran = runs_of(clock)
    assert ran[: 3 * warm_up] == [name for name in "abc" for _ in range(warm_up)]
    in_rounds = [ran[at : at + 3] for at in range(3 * warm_up, len(ran), 3)]
    assert len(in_rounds) == rounds
    assert all(sorted(order) == ["a", "b", "c"] for order in in_rounds)
    assert [len(timing.samples) for timing in timings.values()] == [rounds] * 3


def test_one_warm_up_is_the_default_and_stands_apart_from_the_samples(clock: FakeClock) -> None:
    seconds = iter([9.0, 2.0, 3.0, 4.0])
    timing = interleave({"a": lambda: clock.tick(next(seconds))}, rounds=3)["a"]
    assert timing.warm_up_s == 9
    assert timing.samples == (2, 3, 4)


def test_of_several_warm_ups_the_first_is_reported_and_without_one_none_is(clock: FakeClock) -> None:
    seconds = iter([9.0, 8.0, 7.0, 1.0])
    assert interleave({"a": lambda: clock.tick(next(seconds))}, rounds=1, warm_up=3)["a"].warm_up_s == 9
    assert interleave(arms_of(clock, a=1), rounds=1, warm_up=0)["a"].warm_up_s is None


def test_the_order_of_each_round_is_shuffled_by_the_seed(clock: FakeClock) -> None:
    def orders(seed: int | None) -> list[tuple[str, ...]]:
        clock.events.clear()
        options = {} if seed is None else {"seed": seed}
        interleave(arms_of(clock, a=1, b=1, c=1), rounds=30, warm_up=0, **options)
        ran = runs_of(clock)
        return [tuple(ran[at : at + 3]) for at in range(0, 90, 3)]

    assert set(orders(0)) == set(itertools.permutations("abc"))
    assert orders(3) == orders(3)
    assert orders(0) == orders(None)
    assert len({tuple(orders(seed)) for seed in range(5)}) == 5


def test_every_sample_goes_to_its_own_arm_in_the_order_of_the_rounds(clock: FakeClock) -> None:
    seconds = {name: iter([0.5, *np.arange(1, 9) * factor]) for name, factor in (("a", 1), ("b", 100))}
    arms = {name: (lambda name=name: clock.tick(next(seconds[name]))) for name in seconds}
    timings = interleave(arms, rounds=8, seed=5)
    assert timings["a"].samples == tuple(range(1, 9))
    assert timings["b"].samples == tuple(range(100, 900, 100))


def test_the_watcher_is_told_the_rounds_done_and_their_number(clock: FakeClock) -> None:
    told: list[tuple[int, int, int]] = []
    arms = arms_of(clock, a=1, b=1)
    interleave(
        arms, rounds=3, warm_up=0, watch=lambda done, total: told.append((done, total, len(runs_of(clock))))
    )
    assert told == [(1, 3, 2), (2, 3, 4), (3, 3, 6)]


# The clock and the device.


@pytest.mark.parametrize("device", [CUDA, torch.device("mps")], ids=str)
def test_the_device_is_synchronised_before_the_clock_starts_and_before_it_stops(
    clock: FakeClock, device: torch.device
) -> None:
    interleave(arms_of(clock, a=1), rounds=2, warm_up=1, device=device)
    wait = f"synchronise {device}"
    assert clock.events == [wait, "clock", "a", wait, "clock"] * 3


def test_work_that_waits_on_the_device_is_part_of_the_sample_and_what_waited_before_is_not(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued = [5.0]  # left over from before

    def synchronise(device: torch.device) -> None:
        clock.tick(sum(queued))
        queued.clear()

    monkeypatch.setattr(torch.cuda, "synchronize", synchronise)
    timings = interleave({"a": lambda: queued.append(2.0)}, rounds=2, warm_up=1, device=CUDA)
    assert timings["a"] == Timing((2.0, 2.0), 2.0)


def test_each_arm_waits_for_its_own_device_and_the_cpu_for_none(clock: FakeClock) -> None:
    devices = {"on-gpu": CUDA, "on-cpu": torch.device("cpu")}
    arms = arms_of(clock, **{"on-gpu": 1, "on-cpu": 1})
    interleave(arms, rounds=1, warm_up=0, device=devices)
    wait = f"synchronise {CUDA}"
    blocks = ([wait, "clock", "on-gpu", wait, "clock"], ["clock", "on-cpu", "clock"])
    assert clock.events in (blocks[0] + blocks[1], blocks[1] + blocks[0])
    clock.events.clear()
    interleave(arms_of(clock, a=1), rounds=1, warm_up=0)
    assert clock.events == ["clock", "a", "clock"]


# Arms that fail.


def test_an_arm_that_fails_keeps_its_samples_and_reason_and_is_not_run_again(clock: FakeClock) -> None:
    calls = []

    def breaks() -> None:
        calls.append(1)
        clock.tick(2)
        if len(calls) == 3:
            raise MemoryError("out of memory\nat great length")

    timings = interleave({"bad": breaks, **arms_of(clock, good=1)}, rounds=4, catch=(MemoryError,))
    assert timings["bad"] == Timing((2.0,), 2.0, "MemoryError: out of memory")
    assert timings["good"] == Timing((1.0,) * 4, 1.0)
    assert len(calls) == 3


def test_an_arm_that_fails_at_warm_up_has_no_sample_and_runs_once(clock: FakeClock) -> None:
    calls = []

    def breaks() -> None:
        calls.append(1)
        raise ValueError("no")

    timing = interleave({"bad": breaks}, rounds=3, warm_up=2, catch=(ValueError,))["bad"]
    assert timing == Timing((), None, "ValueError: no")
    assert len(calls) == 1
    with pytest.raises(ValueError, match="no"):
        interleave({"bad": breaks}, rounds=3)


# Statistics of samples, against NumPy and the standard library.


@given(st.lists(SECONDS, min_size=2, max_size=30))
def test_median_mean_and_range_are_those_of_the_standard_library(samples: list[float]) -> None:
    timing = Timing(tuple(samples))
    low, _, high = statistics.quantiles(samples, n=4, method="inclusive")
    assert timing.median_s == pytest.approx(statistics.median(samples), rel=1e-12)
    assert timing.mean_s == pytest.approx(statistics.fmean(samples), rel=1e-12)
    assert timing.iqr_s == pytest.approx(high - low, rel=1e-9, abs=1e-12)
    assert timing.iqr_s == pytest.approx(scipy.stats.iqr(samples), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("samples", "noisy"),
    [
        ((1.0, 1.0, 1.0, 9.0, 1.0), False),
        ((0.95, 1.0, 1.05), False),  # quartiles 0.975 and 1.025
        ((0.89, 1.0, 1.1), True),  # 0.945 and 1.05: 10.5 %
        ((89.0, 100.0, 110.0), True),
        ((91.0, 100.0, 110.0), False),
        ((0.5, 1.0, 1.5, 2.0), True),
    ],
)
def test_a_middle_half_wider_than_a_tenth_of_the_median_is_noisy(
    samples: tuple[float, ...], noisy: bool
) -> None:
    assert Timing(samples).noisy is noisy


@pytest.mark.parametrize(
    ("samples", "outliers"),
    [
        # Quartiles 2 and 4: the whiskers end at -1 and 7.
        ((1.0, 2.0, 3.0, 4.0, 7.0), 0),
        ((1.0, 2.0, 3.0, 4.0, 7.01), 1),
        ((-1.0, 2.0, 3.0, 4.0, 5.0), 0),
        ((-1.01, 2.0, 3.0, 4.0, 5.0), 1),
        ((-5.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0, 20.0), 2),
        ((1.0, 1.0, 1.0, 1.0, 1.1), 1),
        ((1.0, 1.0), 0),
    ],
)
def test_outliers_lie_beyond_one_and_a_half_times_the_range_and_stay_in_the_samples(
    samples: tuple[float, ...], outliers: int
) -> None:
    timing = Timing(samples)
    assert timing.num_outliers == outliers
    assert timing.samples == samples


# Ratios of paired rounds.


def test_a_ratio_is_the_median_of_the_rounds_own_ratios() -> None:
    # A round that is slow for both changes no ratio; the ratio of the medians would be 5.
    a, b = Timing((2.0, 10.0, 30.0, 4.0, 60.0)), Timing((1.0, 5.0, 10.0, 2.0, 2.0))
    assert paired_ratio(a, b).value == 2
    assert paired_ratio(b, a).value == 0.5
    with pytest.raises(ValueError, match="shape"):
        paired_ratio(a, Timing((1.0, 1.0)))


def exact_interval(values: list[float]) -> tuple[float, float]:
    """The 2.5 and 97.5 % points of the bootstrapped median of an odd number of values, without drawing.

    The median of a resample is at most the k-th smallest where more than half of its draws are.
    """
    num, ordered = len(values), sorted(values)
    at_most = [scipy.stats.binom.sf(num // 2, num, k / num) for k in range(1, num + 1)]
    return tuple(ordered[int(np.searchsorted(at_most, share))] for share in (0.025, 0.975))


@settings(max_examples=25, deadline=None)
@given(st.lists(SECONDS, min_size=7, max_size=7, unique=True), st.integers(0, 50))
def test_the_interval_is_that_of_the_bootstrapped_medians_exact_distribution(
    values: list[float], seed: int
) -> None:
    found = bootstrap_median(values, seed=seed)
    assert exact_interval(values) == tuple(np.sort(values)[[1, 5]])
    # SciPy's percentiles round the last bit.
    assert (found.low, found.high) == pytest.approx(exact_interval(values), rel=1e-12)
    assert found.value == np.median(values)


def test_the_seed_and_the_number_of_resamples_reach_the_drawing() -> None:
    rng = np.random.default_rng(0)
    a, b = (Timing(tuple(1 + rng.exponential(0.1, 60))) for _ in range(2))
    found = paired_ratio(a, b, seed=7, resamples=40)
    assert found.low < found.value < found.high
    ratios = np.divide(a.samples, b.samples)
    for options in ({"seed": 7}, {"resamples": 40}, {"seed": 3, "resamples": 15}):
        assert paired_ratio(a, b, **options) == bootstrap_median(ratios, **options)
        assert paired_ratio(a, b, **options) != paired_ratio(a, b)
        assert bootstrap_median_ratio(a.samples, b.samples, **options) != bootstrap_median_ratio(
            a.samples, b.samples
        )
    assert paired_ratio(a, b) == paired_ratio(a, b, seed=0, resamples=2000)


def test_sides_that_share_no_rounds_are_resampled_one_by_one() -> None:
    rng = np.random.default_rng(0)
    shared = rng.exponential(1, 40)
    a, b = 2 * shared, shared
    assert bootstrap_median(a / b) == Ratio(2, 2, 2)
    found = bootstrap_median_ratio(a, b)
    assert found.value == 2
    assert found.low < 1.8 < 2.2 < found.high
    assert bootstrap_median_ratio([3.0] * 5, [2.0] * 9) == Ratio(1.5, 1.5, 1.5)


def test_one_round_has_a_ratio_and_no_spread() -> None:
    assert paired_ratio(Timing((3.0,)), Timing((2.0,))) == Ratio(1.5, 1.5, 1.5)


def test_many_rounds_are_resampled_in_blocks_that_bound_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    largest = []
    real = np.median

    def median(values: np.ndarray, axis: int | None = None) -> np.ndarray:
        largest.append(values.size)
        return real(values, axis=axis)

    monkeypatch.setattr(np, "median", median)
    values = np.random.default_rng(0).exponential(1, 30_000)
    bootstrap_median(values, resamples=300)
    assert max(largest) <= timing.RESAMPLED_AT_ONCE < 300 * len(values)


def test_rounds_are_picked_by_their_number_from_1() -> None:
    sampled = Timing((1.0, 2.0, 3.0, 4.0), warm_up_s=9.0)
    assert sampled.of_rounds((1, 3)) == Timing((1.0, 3.0), warm_up_s=9.0)


def test_equal_samples_have_a_ratio_of_exactly_one() -> None:
    timing = Timing((1.0, 2.0, 3.0))
    assert paired_ratio(timing, timing) == Ratio(1, 1, 1)


def test_the_inverse_is_the_same_comparison_the_other_way_round() -> None:
    assert Ratio(2.0, 1.6, 4.0).inverse == Ratio(0.5, 0.25, 0.625)


# Verdicts.


@pytest.mark.parametrize(
    ("ratio", "min_effect", "said"),
    [
        (Ratio(0.5, 0.4, 0.6), 0.0, "faster"),
        (Ratio(2.0, 1.8, 2.2), 0.0, "slower"),
        (Ratio(0.5, 0.4, 1.01), 0.0, "no difference"),
        (Ratio(2.0, 0.99, 2.2), 0.0, "no difference"),
        (Ratio(0.5, 0.4, 1.0), 0.0, "no difference"),  # one is in the interval where it ends there
        (Ratio(2.0, 1.0, 2.2), 0.0, "no difference"),
        (Ratio(1.0, 1.0, 1.0), 0.0, "no difference"),
        (Ratio(1.02, 1.01, 1.03), 0.05, "no difference"),
        (Ratio(0.98, 0.97, 0.99), 0.05, "no difference"),
        (Ratio(1.25, 1.2, 1.3), 0.25, "no difference"),  # it must be exceeded
        (Ratio(1.26, 1.2, 1.3), 0.25, "slower"),
        (Ratio(0.8, 0.7, 0.9), 0.25, "no difference"),  # 1 / 0.8 is 1.25
        (Ratio(0.79, 0.7, 0.9), 0.25, "faster"),
    ],
)
def test_faster_and_slower_need_an_interval_beside_one_and_the_smallest_effect(
    ratio: Ratio, min_effect: float, said: str
) -> None:
    assert verdict(ratio, min_effect) == said
    other = {"faster": "slower", "slower": "faster"}.get(said, said)
    assert verdict(ratio.inverse, min_effect) == other


def test_any_effect_counts_unless_a_smallest_is_given() -> None:
    assert verdict(Ratio(1.000_1, 1.000_05, 1.000_2)) == "slower"
    assert verdict(Ratio(0.999_9, 0.999_8, 0.999_95)) == "faster"
