"""The mutation score: what share of the mutants is killed, and between which bounds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

KILLED, TIMEOUT, CRASHED = "killed", "timeout", "crashed"
SURVIVED, NO_TESTS, ERROR = "survived", "no tests", "error"
DETECTED = (KILLED, TIMEOUT, CRASHED)
"""A mutant that hangs or that ends the process is seen; both are counted apart as well."""

UNDETECTED = (SURVIVED, NO_TESTS, ERROR)
"""`error` means that pytest could not run the tests, so nothing is known: it never counts as killed."""

NORMAL_95 = 1.959963984540054


@dataclass(frozen=True)
class Tally:
    """Verdicts on the mutants of a module, counted."""

    counts: Mapping[str, int]

    @classmethod
    def of(cls, verdicts: Iterable[str]) -> Tally:
        """Counts verdicts."""
        return cls(dict(Counter(verdicts)))

    @property
    def tried(self) -> int:
        """Mutants with a verdict."""
        return sum(self.counts.values())

    @property
    def detected(self) -> int:
        """Mutants that a test killed, that hung, or that ended the process."""
        return sum(self.counts.get(verdict, 0) for verdict in DETECTED)

    @property
    def score(self) -> float:
        """Share of the tried mutants that were detected; NaN where none was tried."""
        return self.detected / self.tried if self.tried else math.nan


@dataclass(frozen=True)
class Estimate:
    """A share with its 95 % interval."""

    value: float
    low: float
    high: float


def wilson(share: float, n: float, *, z: float = NORMAL_95) -> Estimate:
    """Wilson's score interval of a share seen in `n` trials; `n` may be an effective, broken number."""
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return Estimate(share, max(0.0, centre - half), min(1.0, centre + half))


def overall(tallies: Mapping[str, Tally], sizes: Mapping[str, int]) -> Estimate:
    """The score over all mutants, from a sample in which small modules may have more than their share.

    Each module counts by its number of mutants. The interval is Wilson's for the effective number of trials
    (Kish): as many equally weighted mutants as would tell as much. For a proportional sample both are the
    plain ones.
    """
    tried = {module: tally for module, tally in tallies.items() if tally.tried}
    if not tried:
        return Estimate(math.nan, math.nan, math.nan)
    weight = {module: sizes[module] / tally.tried for module, tally in tried.items()}  # of one mutant
    total = sum(weight[module] * tally.tried for module, tally in tried.items())
    share = sum(weight[module] * tally.detected for module, tally in tried.items()) / total
    effective = total**2 / sum(weight[module] ** 2 * tally.tried for module, tally in tried.items())
    return wilson(min(share, 1.0), effective)
