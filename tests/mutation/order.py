"""Which tests try a mutant, and in which order: the nearest first, then the cheapest, within a budget."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath


def module_of(name: str) -> str:
    """The module of a mutant or function: `nnkit.data.cache.x_key__mutmut_3` is of `nnkit.data.cache`."""
    parts = name.split(".")
    function = next(i for i, part in enumerate(parts) if part.startswith(("x_", "xǁ")))
    return ".".join(parts[:function])


def distance(test: str, module: str) -> int:
    """0 for tests of the module itself, 1 for tests of its package, 2 for all others."""
    path = PurePosixPath(test.split("::")[0])
    folders, names = path.parts[1:-1], tuple(module.split(".")[1:])
    own_file = folders == names[:-1] and path.stem == f"test_{''.join(names[-1:]).lstrip('_')}"
    if own_file or (names and folders == names):
        return 0
    return 1 if folders and folders == names[:-1] else 2


def ordered(tests: Iterable[str], module: str, seconds: Mapping[str, float]) -> list[str]:
    """Tests file by file, so that the fixtures of a file are made once: near files first, then cheap ones."""
    files = _by_file(tests, seconds)
    cost = {file: sum(seconds.get(test, 0) for test in members) for file, members in files.items()}
    ranked = sorted(files, key=lambda file: (distance(file, module), cost[file], file))
    return [test for file in ranked for test in files[file]]


def within_budget(
    tests: Iterable[str], module: str, seconds: Mapping[str, float], *, budget_s: float
) -> list[str]:
    """The tests that fit into `budget_s`; all where they do. Nothing is cut from the module's own tests.

    Of the others every file gives its cheapest test, then each its second cheapest, and so on: a mutant that
    many tests see is seen by one of each kind.
    """
    files = _by_file(tests, seconds)
    chosen = [test for file, members in files.items() if distance(file, module) == 0 for test in members]
    spent = sum(seconds.get(test, 0) for test in chosen)
    others = {file: members for file, members in files.items() if distance(file, module) > 0}
    rounds = (
        (turn, distance(file, module), seconds.get(test, 0), test)
        for file, members in others.items()
        for turn, test in enumerate(members)
    )
    for _, _, _, test in sorted(rounds):
        cost = seconds.get(test, 0)
        if spent + cost <= budget_s:
            chosen.append(test)
            spent += cost
    return chosen


def _by_file(tests: Iterable[str], seconds: Mapping[str, float]) -> dict[str, list[str]]:
    """The tests of each file, cheapest first."""
    files: defaultdict[str, list[str]] = defaultdict(list)
    for test in sorted(tests, key=lambda test: (seconds.get(test, 0), test)):
        files[test.split("::")[0]].append(test)
    return dict(files)
