"""The result of `nnkit doctor`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from nnkit.results.base import Part, Result
from nnkit.results.cache import CacheSize
from nnkit.results.environment import Environment
from nnkit.results.list_ import Component


class Devices(Part):
    """What torch can compute on; `auto` is what `--device auto` means here."""

    auto: str
    cuda: tuple[str, ...]
    threads: int
    cores: int | None
    machine: str


class Folder(Part):
    """A folder that nnkit uses; `must_write` where it writes there."""

    path: str
    exists: bool
    readable: bool
    writable: bool
    must_write: bool


class DoctorResult(Result):
    """What was found. `datasets` says which of those that are files are in the data root.

    `cache` is how much decoded data is kept; `plugins` is the variable NNKIT_PLUGINS; `problems` lists what
    is wrong, each with what to do.
    """

    schema_name: Literal["nnkit.doctor/1"] = Field(
        default="nnkit.doctor/1", validation_alias="schema", serialization_alias="schema"
    )
    environment: Environment
    devices: Devices
    folders: Mapping[str, Folder]
    cache: CacheSize
    datasets: Mapping[str, bool]
    plugins: str | None
    components: tuple[Component, ...]
    problems: tuple[str, ...]
