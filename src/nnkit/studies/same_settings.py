"""Whether a run that `--resume` names was begun with the settings that are asked for now."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar

from nnkit import config as configuration
from nnkit.config import resolve
from nnkit.errors import UsageError
from nnkit.options import CommandConfig
from nnkit.runs.directory import RunDirectory

C = TypeVar("C", bound=CommandConfig)


def check_settings(folder: RunDirectory, config: C, *, free: Collection[str], done: str) -> C:
    """The run's configuration; `UsageError` where more than `free` differs from it, with the differences.

    `done` is what was done with it: "trained".
    """
    before = resolve(type(config), {}, files=[folder.config_path]).config
    old, new = configuration.dump(before), configuration.dump(config)
    differences = [
        f"{key}: the run has {_shown(getattr(before, key))}, this asks for {_shown(getattr(config, key))}"
        for key in sorted(old.keys() | new.keys())
        if key not in free and old.get(key) != new.get(key)
    ]
    if differences:
        raise UsageError(
            f"{folder.path} was {done} with other settings:\n  " + "\n  ".join(differences),
            hint="leave these out, or start a new run without --resume",
        )
    return before


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
