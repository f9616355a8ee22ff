"""The machine and the versions that a result depends on."""

from __future__ import annotations

from collections.abc import Mapping

from nnkit.results.base import Part


class Environment(Part):
    """Versions and machine. `command` is the command line; a version is None where the library is missing."""

    python: str
    platform: str
    cpu: str
    cores: int | None
    versions: Mapping[str, str | None]
    command: tuple[str, ...]


class EnvironmentChange(Part):
    """One thing that differs between two environments, as "library torch"; None where it is not there."""

    name: str
    before: str | None
    after: str | None
