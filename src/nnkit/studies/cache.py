"""`nnkit cache`: what is in the cache of decoded data, and its removal."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import Field

from nnkit.data.cache_files import CacheFile, cache_files
from nnkit.durations import PATTERN, seconds
from nnkit.errors import NnkitError, PartialError, UsageError, did_you_mean, hints, quote
from nnkit.options import CommandConfig, Option
from nnkit.results.cache import CacheClearResult, CacheEntry, CacheFailure, CacheResult, CacheSize
from nnkit.studies.paths import cache_folder


class CacheClearConfig(CommandConfig):
    """The options of `nnkit cache clear`."""

    names: Annotated[
        tuple[str, ...],
        Option(
            "Files as `nnkit cache list` names them, or sources; all where left out", "NAME", argument=True
        ),
    ] = ()
    older_than: Annotated[
        Annotated[str, Field(pattern=rf"^{PATTERN}$")] | None,
        Option(
            "Only what was not used for so long: 30d, 12h or 90min",
            "AGE",
            takes="an age in seconds, minutes, hours, days or weeks, such as 90min, 12h or 30d",
        ),
    ] = None


def list_cache() -> CacheResult:
    """The files of the cache; none where there is no cache."""
    folder = cache_folder()
    entries = _entries(folder)
    return CacheResult(folder=str(folder), entries=entries, total=_total(entries))


def clear_cache(config: CacheClearConfig | None = None) -> CacheClearResult:
    """Remove the cache's files, or those that are named or were not used for long; nothing else.

    A damaged file is removed when it is named: by its name alone it may be anyone's. Who reads a file that is
    removed goes on reading. `UsageError`, and nothing removed, for a name that is not there.
    """
    config = config or CacheClearConfig()
    folder = cache_folder()
    entries = _entries(folder)
    chosen = _named(config.names, entries) if config.names else [e for e in entries if e.kind != "damaged"]
    if config.older_than is not None:
        limit = seconds(config.older_than)
        chosen = [entry for entry in chosen if entry.unused_s > limit]
    removed, failed = [], []
    for entry in chosen:
        try:
            Path(entry.path).unlink(missing_ok=True)
            removed.append(entry)
        except OSError as error:
            why = error.strerror or str(error)
            failed.append(CacheFailure(name=entry.name, path=entry.path, error=why))
    left = tuple(entry for entry in entries if entry not in removed)
    return CacheClearResult(
        folder=str(folder),
        removed=tuple(removed),
        removed_total=_total(removed),
        failed=tuple(failed),
        left=left,
        left_total=_total(left),
    )


def check_cleared(result: CacheClearResult) -> None:
    """`PartialError` (exit 3) where some files could not be removed, `NnkitError` (1) where none could."""
    if result.failed:
        kind = PartialError if result.removed else NnkitError
        first = result.failed[0]
        raise kind(
            f"{len(result.failed)} of {len(result.failed) + len(result.removed)} files could not be removed, "
            f"the first is {first.path}: {first.error}",
            hint="see who may write the folder",
        )


def cache_size() -> CacheSize:
    """How large the cache is; of a folder that cannot be read, nothing."""
    try:
        return list_cache().total
    except NnkitError:
        return _total(())


def _entries(folder: Path) -> tuple[CacheEntry, ...]:
    now = time.time()
    try:
        found = [_entry(file, now) for file in cache_files(folder)]
    except OSError as error:
        raise NnkitError(
            f"the cache {folder} cannot be read: {error.strerror or error}",
            hint="NNKIT_CACHE names the folder of the cache",
        ) from None
    return tuple(sorted(found, key=lambda entry: (entry.source or "", entry.name)))


def _entry(file: CacheFile, now: float) -> CacheEntry:
    return CacheEntry(
        name=file.path.name,
        path=str(file.path),
        kind=file.kind,
        source=file.source,
        bytes=file.bytes,
        made=None if file.made is None else _iso(file.made),
        age_s=None if file.made is None else max(now - file.made, 0.0),
        last_used=_iso(file.used),
        unused_s=max(now - file.used, 0.0),
    )


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _total(entries: Sequence[CacheEntry]) -> CacheSize:
    return CacheSize(files=len(entries), bytes=sum(entry.bytes for entry in entries))


def _named(names: Sequence[str], entries: Sequence[CacheEntry]) -> list[CacheEntry]:
    known = {name for entry in entries for name in _names(entry)}
    for name in names:
        if name not in known:
            raise UsageError(
                f"the cache has nothing named {quote(name)}; nothing was removed",
                hint=hints(did_you_mean(name, known), "`nnkit cache list` shows what it has"),
            )
    return [entry for entry in entries if not _names(entry).isdisjoint(names)]


def _names(entry: CacheEntry) -> set[str]:
    """What an entry may be called: its file, with and without suffix; its source's path or name."""
    source = set() if entry.source is None else {entry.source, Path(entry.source).name}
    return {entry.name, Path(entry.name).stem, *source}
