"""Timing that can be believed: arms interleaved in rounds, every sample kept, ratios of paired rounds.

Every round runs each arm once, in an order shuffled from the seed, so that a slow moment of the machine falls
on all of them. A comparison is the ratio of two arms within the same rounds, with a bootstrap interval.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

NOISY = 0.10
"""An interquartile range over this share of the median is called noisy."""


@dataclass(frozen=True)
class Timing:
    """All samples of one arm, in seconds, in the order of the rounds."""

    samples: tuple[float, ...]

    @property
    def median_s(self) -> float:
        """The middle sample."""
        return float(np.median(self.samples))

    @property
    def iqr_s(self) -> float:
        """The range of the middle half of the samples."""
        low, high = np.percentile(self.samples, (25, 75))
        return float(high - low)

    @property
    def noisy(self) -> bool:
        """Whether the middle half spreads over more than 10 % of the median."""
        return self.iqr_s > NOISY * self.median_s


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


def interleave(
    arms: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    seed: int = 0,
    warm_up: int = 1,
    device: torch.device | None = None,
) -> dict[str, Timing]:
    """Time each arm once per round; the device is synchronised before the clock starts and stops."""
    order = np.random.default_rng(seed)
    names = list(arms)
    for name in names:
        for _ in range(warm_up):
            arms[name]()
    samples: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for index in order.permutation(len(names)):
            samples[names[index]].append(_clock(arms[names[index]], device))
    return {name: Timing(tuple(times)) for name, times in samples.items()}


def _clock(arm: Callable[[], object], device: torch.device | None) -> float:
    _synchronise(device)
    started = time.perf_counter()
    arm()
    _synchronise(device)
    return time.perf_counter() - started


def _synchronise(device: torch.device | None) -> None:
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)


def paired_ratio(a: Timing, b: Timing, *, seed: int = 0, resamples: int = 2000) -> Ratio:
    """a's time over b's, round by round: the median ratio and a bootstrap 95 % interval of it."""
    ratios = np.array(a.samples) / np.array(b.samples)
    draws = np.random.default_rng(seed).integers(0, len(ratios), (resamples, len(ratios)))
    low, high = np.percentile(np.median(ratios[draws], axis=1), (2.5, 97.5))
    return Ratio(float(np.median(ratios)), float(low), float(high))


def geometric_mean(values: Sequence[float]) -> float:
    """The mean of ratios."""
    return float(np.exp(np.mean(np.log(values))))
