"""A seeded random sample of mutants in which every module has its share."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

FLOOR = 3
"""Every module gives at least so many mutants, or all that it has."""


def shares(counts: Mapping[str, int], size: int, *, floor: int = FLOOR) -> dict[str, int]:
    """How many mutants each module gives: in proportion to what it has, but at least `floor`.

    The shares add up to `size` exactly, or to all mutants where there are fewer; where the floors alone add
    up to more than `size`, to that.
    """
    given = {module: min(count, floor) for module, count in counts.items()}
    size = max(min(size, sum(counts.values())), sum(given.values()))
    total = sum(counts.values())
    while sum(given.values()) < size:
        # The module that is furthest below its proportional share gives the next one; names break ties.
        behind = {
            module: size * count / total - given[module]
            for module, count in counts.items()
            if given[module] < count
        }
        given[max(sorted(behind), key=behind.__getitem__)] += 1
    return given


def draw(names: Mapping[str, Sequence[str]], size: int, *, seed: int, floor: int = FLOOR) -> list[str]:
    """Names of `size` mutants drawn without replacement; the same for the same seed and mutants.

    The mutants of each module are shuffled and the first ones taken: a larger sample of the same seed holds
    the smaller one, and a change in one module leaves the order of the others.
    """
    given = shares({module: len(members) for module, members in names.items()}, size, floor=floor)
    chosen: list[str] = []
    for module in sorted(names):
        members = sorted(names[module])
        random.Random(f"{seed}/{module}").shuffle(members)
        chosen += members[: given[module]]
    return chosen
