"""Timing: arms interleaved in rounds, every sample kept, ratios of paired rounds.

Every round runs each arm once, in an order shuffled from the seed, so that a slow moment of the machine falls
on all of them. A comparison is the ratio of two arms within the same rounds, with a bootstrap interval.

SciPy is imported where it is used: it takes longer to import than most commands take.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch

NOISY = 0.10
"""An interquartile range over this share of the median is called noisy."""
WHISKER = 1.5
"""A sample further than this many interquartile ranges outside the quartiles is an outlier (Tukey, 1977)."""

RESAMPLED_AT_ONCE = 4_000_000
"""Values in one block of resamples: 32 MB."""

Verdict = Literal["faster", "slower", "no difference"]
Arm = Callable[[], object]


def no_op(*_: object) -> None:
    """What is done where nothing is asked for."""


@dataclass(frozen=True)
class Timing:
    """All samples of one arm, in seconds, in the order of the rounds; `warm_up_s` is its first run.

    Where the arm failed, `error` says why, and the rounds before it are kept.
    """

    samples: tuple[float, ...]
    warm_up_s: float | None = None
    error: str | None = None

    def of_rounds(self, rounds: Sequence[int]) -> Timing:
        """The samples of these rounds alone, counted from 1."""
        return replace(self, samples=tuple(self.samples[at - 1] for at in rounds))

    @property
    def median_s(self) -> float:
        """The middle sample."""
        return float(np.median(self.samples))

    @property
    def mean_s(self) -> float:
        """The mean of the samples."""
        return float(np.mean(self.samples))

    @property
    def iqr_s(self) -> float:
        """The interquartile range of the samples."""
        low, high = np.percentile(self.samples, (25, 75))
        return float(high - low)

    @property
    def noisy(self) -> bool:
        """Whether the interquartile range exceeds 10 % of the median."""
        return self.iqr_s > NOISY * self.median_s

    @property
    def num_outliers(self) -> int:
        """Outliers (Tukey). They are counted, never dropped."""
        low, high = np.percentile(self.samples, (25, 75))
        reach = WHISKER * (high - low)
        return sum(not low - reach <= sample <= high + reach for sample in self.samples)


@dataclass(frozen=True)
class Ratio:
    """How many times as long one arm takes as another: the median of paired rounds, with a 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def excludes_one(self) -> bool:
        """Whether the interval lies on one side of 1."""
        return self.low > 1 or self.high < 1

    @property
    def inverse(self) -> Ratio:
        """How many times as fast: the same comparison the other way round."""
        return Ratio(1 / self.value, 1 / self.high, 1 / self.low)


@dataclass(frozen=True)
class Round:
    """One run of every arm, or the warm-up: seconds by the arm's name, and why an arm failed in it."""

    seconds: Mapping[str, float]
    errors: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """What an earlier call of `interleave` has kept: its warm-up, and its rounds in their order."""

    warm_up: Round
    rounds: tuple[Round, ...]


def interleave(
    arms: Mapping[str, Arm],
    *,
    rounds: int,
    seed: int = 0,
    warm_up: int = 1,
    device: torch.device | Mapping[str, torch.device] | None = None,
    catch: tuple[type[Exception], ...] = (),
    watch: Callable[[int, int], None] | None = None,
    before: Measured | None = None,
    keep: Callable[[Round], None] = no_op,
    check: Callable[[], None] = no_op,
) -> dict[str, Timing]:
    """Time each arm once per round; its device is synchronised before the clock starts and stops.

    `device` is of all arms, or of each by name. An arm that raises one of `catch` is left out of the rounds
    that follow, and its timing says why. `watch` is called with the number of rounds done and of all rounds.

    With `before`, what an earlier call with the same arms and seed has kept, the missing rounds follow after
    a new warm-up. `keep` is called with the warm-up, then with each round when it is complete. `check` is
    called between the runs of arms, and may raise to stop: the round that is not complete is lost.
    """
    order = np.random.default_rng(seed)
    names = list(arms)
    devices = device if isinstance(device, Mapping) else dict.fromkeys(names, device)
    done = [] if before is None else list(before.rounds)
    errors: dict[str, str] = {} if before is None else dict(before.warm_up.errors)
    for earlier in done:
        order.permutation(len(names))
        errors.update(earlier.errors)

    def run(planned: Sequence[str]) -> Round:
        seconds: dict[str, float] = {}
        failed: dict[str, str] = {}
        for name in planned:
            check()
            if name in errors or name in failed:
                continue
            try:
                taken = _clock(arms[name], devices[name])
            except catch as error:
                check()  # what stops the run may also have broken the arm, which then did not fail by itself
                failed[name] = f"{type(error).__name__}: {error}".splitlines()[0]
            else:
                seconds.setdefault(name, taken)
        errors.update(failed)
        return Round(seconds, failed)

    warmed_up = run([name for name in names for _ in range(warm_up)])
    keep(warmed_up)
    for number in range(len(done) + 1, rounds + 1):
        done.append(run([names[index] for index in order.permutation(len(names))]))
        keep(done[-1])
        if watch is not None:
            watch(number, rounds)
    check()
    first = (warmed_up if before is None else before.warm_up).seconds
    return {
        name: Timing(
            tuple(each.seconds[name] for each in done if name in each.seconds),
            first.get(name),
            errors.get(name),
        )
        for name in names
    }


def _clock(arm: Arm, device: torch.device | None) -> float:
    _synchronise(device)
    started = time.perf_counter()
    arm()
    _synchronise(device)
    return time.perf_counter() - started


def _synchronise(device: torch.device | None) -> None:
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device is not None and device.type == "mps":
        torch.mps.synchronize()


def paired_ratio(a: Timing, b: Timing, *, seed: int = 0, resamples: int = 2000) -> Ratio:
    """a's time over b's, round by round: the median ratio and a bootstrap 95 % interval of it.

    `ValueError` where the two were not timed in the same rounds.
    """
    return bootstrap_median(np.divide(a.samples, b.samples), seed=seed, resamples=resamples)


def bootstrap_median(values: Sequence[float] | np.ndarray, *, seed: int = 0, resamples: int = 2000) -> Ratio:
    """The median of paired ratios and its bootstrap 95 % interval, by SciPy's percentile method."""
    return _bootstrap(np.median, (np.asarray(values, float),), seed, resamples)


def bootstrap_median_ratio(
    a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray, *, seed: int = 0, resamples: int = 2000
) -> Ratio:
    """a's median over b's and its bootstrap 95 % interval, of samples that share no rounds."""
    return _bootstrap(_median_ratio, (np.asarray(a, float), np.asarray(b, float)), seed, resamples)


def _median_ratio(a: np.ndarray, b: np.ndarray, axis: int = -1) -> Any:
    return np.median(a, axis=axis) / np.median(b, axis=axis)


def _bootstrap(
    statistic: Callable[..., Any], samples: tuple[np.ndarray, ...], seed: int, resamples: int
) -> Ratio:
    """A statistic of samples that are resampled one by one, and its 95 % interval."""
    value = float(statistic(*samples))
    if min(map(len, samples)) < 2:
        return Ratio(value, value, value)  # one round has no spread to show; SciPy refuses it
    from scipy.stats import bootstrap

    interval = bootstrap(
        samples,
        statistic,
        method="percentile",
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, RESAMPLED_AT_ONCE // max(map(len, samples))),
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return Ratio(value, float(interval.low), float(interval.high))


def verdict(ratio: Ratio, min_effect: float = 0.0) -> Verdict:
    """What a ratio of times, a's over b's, says of a against b.

    "no difference" unless the interval excludes 1 and the effect exceeds `min_effect` (0.02 is two percent).
    """
    if not ratio.excludes_one or max(ratio.value, 1 / ratio.value) - 1 <= min_effect:
        return "no difference"
    return "faster" if ratio.value < 1 else "slower"
