"""Means over seeds with their 95 % confidence intervals, from Student's t.

SciPy is imported where it is used: it takes longer to import than most commands take.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

LEVEL = 0.95
FEWEST = 3
"""With fewer values there is no interval: that of two would be 12.7 standard errors wide to each side."""


@dataclass(frozen=True)
class Estimate:
    """A mean over `num` values, and the interval that holds the true mean in 95 of 100 such samples.

    `mean` is None where there is no value; `ci95` (low, high) is None where there are fewer than three.
    """

    mean: float | None
    ci95: tuple[float, float] | None
    num: int

    @property
    def excludes_zero(self) -> bool:
        """Whether there is an interval and zero lies outside it."""
        return self.ci95 is not None and not self.ci95[0] <= 0 <= self.ci95[1]

    def within(self, low: float, high: float) -> Estimate:
        """The same with the interval cut to the values that are possible."""
        if self.ci95 is None:
            return self
        return Estimate(self.mean, (max(self.ci95[0], low), min(self.ci95[1], high)), self.num)


def estimate(values: Iterable[float | None]) -> Estimate:
    """The mean and its t-interval; None marks a value that is missing and is left out."""
    known = [value for value in values if value is not None]
    if not known:
        return Estimate(None, None, 0)
    mean = fmean(known)
    if len(known) < FEWEST:
        return Estimate(mean, None, len(known))
    from scipy.stats import t

    half = float(t.ppf((1 + LEVEL) / 2, len(known) - 1)) * stdev(known) / math.sqrt(len(known))
    return Estimate(mean, (mean - half, mean + half), len(known))


def differences(a: Sequence[float | None], b: Sequence[float | None]) -> tuple[float | None, ...]:
    """a - b in pairs, None where either is missing.

    What a pair shares (its seed, so its first weights' draw and the order of its data) drops out.
    """
    pairs = zip(a, b, strict=True)
    return tuple(x - y if x is not None and y is not None else None for x, y in pairs)
