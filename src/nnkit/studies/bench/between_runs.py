"""How a time changed from some runs to others, judged by how much runs of one side differ.

Rounds of one run share its process: where its memory lies, on which cores it runs, what else the machine does
meanwhile. Their spread says nothing of the next run, so a change is judged by the spread between runs alone.
SciPy is imported where it is used: it takes longer to import than most commands take.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

TAIL = 0.025
"""The share of Student's t beyond each end of an interval: 95 % lie within."""
FALSE_ALARMS = 0.05
"""How often at most a gate fails where nothing changed, over all cells together."""


@dataclass(frozen=True)
class Change:
    """The difference of two means of logarithms, b's less a's, and its standard error.

    The runs of both sides share one variance: of three runs, a side alone could hardly tell its own. `error`
    is NaN where each side has one run.
    """

    difference: float
    error: float
    freedom: int
    """Degrees of freedom of Student's t: runs of both sides, less two."""

    def half_width(self, tail: float = TAIL) -> float:
        """How far the interval reaches to each side, beyond which lies a share `tail` of Student's t."""
        if not self.freedom:
            return math.nan
        from scipy.stats import t

        return float(t.isf(tail, self.freedom)) * self.error

    def p_above(self, limit: float) -> float:
        """One-sided p of a true difference of at most `limit`; 1 where the spread is not known."""
        beyond = self.difference - limit
        if not self.freedom:
            return 1.0
        if self.error == 0:
            return 0.0 if beyond > 0 else 1.0
        from scipy.stats import t

        return float(t.sf(beyond / self.error, self.freedom))


def change_between(a: Sequence[float], b: Sequence[float]) -> Change:
    """From the logarithms of one cell's times in each run of a, and of b; neither is empty."""
    freedom = len(a) + len(b) - 2
    squares = len(a) * np.var(a) + len(b) * np.var(b)
    error = math.sqrt(squares / freedom * (1 / len(a) + 1 / len(b))) if freedom else math.nan
    return Change(float(np.mean(b) - np.mean(a)), error, freedom)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number by Holm's method (1979), which no dependence between them upsets."""
    order = np.argsort(p_values)
    scaled = np.asarray(p_values)[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1)
    return [float(p) for p in adjusted]
