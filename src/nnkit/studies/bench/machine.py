"""What two measurements must share for their times to be compared, or to be of one benchmark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nnkit.results.bench import BenchEnvironment

SAME = ("cpu", "cores", "threads", "gpus")
"""The machine, as far as times depend on it."""
TIMED_LIBRARIES = ("nnkit", "torch", "torchvision", "numpy", "pillow", "kornia")
"""What may run while the clock does."""


def machine_differences(one: BenchEnvironment, others: Iterable[BenchEnvironment]) -> list[str]:
    """What the machines of others have that is not as in the first, each once."""
    mine = {name: getattr(one, name) for name in SAME}
    return _differences(mine, ({name: getattr(other, name) for name in SAME} for other in others))


def software_differences(one: BenchEnvironment, other: BenchEnvironment) -> list[str]:
    """The libraries, Python, nnkit's commit and the variables that are not the same."""
    return _differences(_software(one), [_software(other)])


def _software(of: BenchEnvironment) -> dict[str, object]:
    versions = {name: of.versions.get(name) for name in TIMED_LIBRARIES}
    return {"python": of.python, **versions, "commit": of.commit, "flags": dict(of.flags)}


def _differences(one: Mapping[str, object], others: Iterable[Mapping[str, object]]) -> list[str]:
    found = [
        f"{name}: {_shown(ours)} and {_shown(other[name])}"
        for other in others
        for name, ours in one.items()
        if ours != other[name]
    ]
    return list(dict.fromkeys(found))


def _shown(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
