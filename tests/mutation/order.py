"""Which tests try a mutant, and in which order: the nearest first, then the cheapest, within a budget."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

ORACLE = ("data", "losses", "models", "training")
"""Packages whose effect on training the tests of tests/oracle/ judge: these count as near."""


def module_of(name: str) -> str:
    """The module of a mutant or function: `nnkit.data.cache.x_key__mutmut_3` is of `nnkit.data.cache`."""
    parts = name.split(".")
    function = next(i for i, part in enumerate(parts) if part.startswith(("x_", "xǁ")))
    return ".".join(parts[:function])


def distance(test: str, module: str) -> int:
    """0 for tests of the module itself, 1 for tests of its package and the oracle, 2 for all others."""
    path = PurePosixPath(test.split("::")[0])
    folders, names = path.parts[1:-1], tuple(module.split(".")[1:])
    own_file = folders == names[:-1] and path.stem == f"test_{''.join(names[-1:]).lstrip('_')}"
    if own_file or (names and folders == names):
        return 0
    is_judged = folders == ("oracle",) and names[:1] != () and names[0] in ORACLE
    return 1 if is_judged or (folders and folders == names[:-1]) else 2


def ordered(tests: Iterable[str], module: str, seconds: Mapping[str, float]) -> list[str]:
    """Tests file by file, so that the fixtures of a file are made once: near files first, then cheap ones."""
    files = _by_file(tests, seconds)
    cost = {file: sum(seconds.get(test, 0) for test in members) for file, members in files.items()}
    ranked = sorted(files, key=lambda file: (distance(file, module), cost[file], file))
    return [test for file in ranked for test in files[file]]


def within_budget(
    tests: Iterable[str], module: str, seconds: Mapping[str, float], *, budget_s: float
) -> list[str]:
    """All tests of the module itself, what fits into `budget_s` of other near ones, and as much of the rest.

    Every file gives its cheapest test, then each its second cheapest, and so on: a mutant that many tests see
    is seen by one of each kind.
    """
    files = _by_file(tests, seconds)
    chosen = [test for file, members in files.items() if distance(file, module) == 0 for test in members]
    others = {file: members for file, members in files.items() if distance(file, module) > 0}
    rounds = (
        (turn, seconds.get(test, 0), test, distance(file, module))
        for file, members in others.items()
        for turn, test in enumerate(members)
    )
    spent = {1: 0.0, 2: 0.0}
    for _, cost, test, far in sorted(rounds):
        if spent[far] + cost <= budget_s:
            chosen.append(test)
            spent[far] += cost
    return chosen


def _by_file(tests: Iterable[str], seconds: Mapping[str, float]) -> dict[str, list[str]]:
    """The tests of each file, cheapest first."""
    files: defaultdict[str, list[str]] = defaultdict(list)
    for test in sorted(tests, key=lambda test: (seconds.get(test, 0), test)):
        files[test.split("::")[0]].append(test)
    return dict(files)
