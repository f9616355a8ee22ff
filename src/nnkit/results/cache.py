"""The results of `nnkit cache list` and `nnkit cache clear`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nnkit.results.base import Part, Result


class CacheEntry(Part):
    """One file of the cache.

    `kind`: decoded `images`; `headers`, the sizes of images that stay in their files; `counts` of 8-bit
    values; the `checksum` of an archive; `tensors` of which no more is known; `temporary`, what a killed
    process left; `damaged`. `source` is the path of what it was made from. Times are ISO 8601 in UTC.
    `made`, `age_s` and `source` are null where the file does not say.
    """

    name: str
    path: str
    kind: str
    source: str | None
    bytes: int
    made: str | None
    age_s: float | None
    last_used: str
    unused_s: float


class CacheSize(Part):
    """How many files a cache has, and how many bytes they have together."""

    files: int
    bytes: int


class CacheResult(Result):
    """The files of the cache of decoded data, sorted by source and name."""

    schema_name: Literal["nnkit.cache/1"] = Field(
        default="nnkit.cache/1", validation_alias="schema", serialization_alias="schema"
    )
    folder: str
    entries: tuple[CacheEntry, ...]
    total: CacheSize


class CacheFailure(Part):
    """A file that could not be removed, and why."""

    name: str
    path: str
    error: str


class CacheClearResult(Result):
    """What was removed from the cache, what could not be, and how much is left."""

    schema_name: Literal["nnkit.cache-clear/1"] = Field(
        default="nnkit.cache-clear/1", validation_alias="schema", serialization_alias="schema"
    )
    folder: str
    removed: tuple[CacheEntry, ...]
    removed_total: CacheSize
    failed: tuple[CacheFailure, ...]
    left: tuple[CacheEntry, ...]
    left_total: CacheSize
