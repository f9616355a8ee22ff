"""Which rounds choose a fastest cell, and which other rounds its values are of.

The fastest of many cells was also the luckiest in the rounds that chose it: of equal cells with 5 % of noise,
the best of 24 looks several percent faster than it is. In rounds that had no part in the choice it does not.
"""

from __future__ import annotations

from nnkit.results.bench import Selection

FEWEST = 10
"""Rounds that make two halves: five values hold the true median between them in 94 of 100 cases."""


def split_rounds(num_rounds: int) -> Selection:
    """Every second round chooses, the others are reported: what drifts slowly falls on both halves.

    Of an odd number the larger half is reported. Fewer than ten rounds are not parted: all do both.
    """
    rounds = tuple(range(1, num_rounds + 1))
    if num_rounds < FEWEST:
        return Selection(choosing_rounds=rounds, reported_rounds=rounds, separate=False)
    return Selection(choosing_rounds=rounds[1::2], reported_rounds=rounds[::2], separate=True)
