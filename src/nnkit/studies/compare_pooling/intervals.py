"""Means over seeds with their 95 % intervals, from Student's t: how sure a few repeats can be."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

LEVEL = 0.95
_TINY = 1e-300
_MAX_TERMS = 10_000


@dataclass(frozen=True)
class Estimate:
    """A mean over `num` values, and the interval that holds the true mean in 95 of 100 such samples.

    `mean` is None where there is no value; `ci95` (low, high) is None where there are fewer than two.
    """

    mean: float | None
    ci95: tuple[float, float] | None
    num: int

    @property
    def excludes_zero(self) -> bool:
        """Whether there is an interval and zero lies outside it."""
        return self.ci95 is not None and not self.ci95[0] <= 0 <= self.ci95[1]


def estimate(values: Iterable[float | None]) -> Estimate:
    """The mean and its t-interval; None marks a value that is missing and is left out."""
    known = [value for value in values if value is not None]
    if not known:
        return Estimate(None, None, 0)
    mean = fmean(known)
    if len(known) == 1:
        return Estimate(mean, None, 1)
    half = t_quantile((1 + LEVEL) / 2, len(known) - 1) * stdev(known) / math.sqrt(len(known))
    return Estimate(mean, (mean - half, mean + half), len(known))


def paired_difference(a: Sequence[float | None], b: Sequence[float | None]) -> Estimate:
    """The mean of a - b over the pairs that are both there, and its t-interval.

    What a pair shares (its seed, so its first weights' draw and the order of its data) drops out.
    """
    pairs = zip(a, b, strict=True)
    return estimate([x - y if x is not None and y is not None else None for x, y in pairs])


def t_quantile(probability: float, degrees: int) -> float:
    """The value that Student's t with `degrees` >= 1 degrees of freedom stays below with `probability`.

    `probability` is in (0, 1). Found by bisection of the distribution function, to about 1e-12 of the value;
    `ValueError` for arguments out of range.
    """
    if not 0 < probability < 1 or degrees < 1:
        raise ValueError(f"no quantile of probability {probability} with {degrees} degrees of freedom")
    if probability < 0.5:
        return -t_quantile(1 - probability, degrees)
    tail = 1 - probability
    low, high = 0.0, 1.0
    while _upper_tail(high, degrees) > tail:
        low, high = high, 2 * high
    while high - low > 1e-13 * high:
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (middle, high) if _upper_tail(middle, degrees) > tail else (low, middle)
    return (low + high) / 2


def _upper_tail(t: float, degrees: int) -> float:
    """P(T > t) for t >= 0. Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.1."""
    return _incomplete_beta(degrees / (degrees + t * t), t * t / (degrees + t * t), degrees / 2, 0.5) / 2


def _incomplete_beta(x: float, complement: float, a: float, b: float) -> float:
    """The regularised I_x(a, b), with `complement` = 1 - x; the fraction is taken on its fast side."""
    if x <= 0 or complement <= 0:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(complement, x, b, a)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    log_front += a * math.log(x) + b * math.log(complement)
    return math.exp(log_front) / (a * _beta_fraction(x, a, b))


def _beta_fraction(x: float, a: float, b: float) -> float:
    """The continued fraction of I_x(a, b) (Abramowitz and Stegun 26.5.8), by Lentz's method."""
    value, c, d = 1.0, 1.0, 0.0
    for term in range(1, _MAX_TERMS):
        m = term // 2
        if term % 2:
            factor = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            factor = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / (1 + factor * d or _TINY)
        c = 1 + factor / c or _TINY
        value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value
