"""The cache of decoded data as `nnkit cache list` prints it, and what `nnkit cache clear` removed."""

from __future__ import annotations

from collections.abc import Sequence

from nnkit.durations import largest_unit
from nnkit.present.layout import WIDTH, fits, joined, table
from nnkit.present.text import MISSING, byte_count, counted
from nnkit.results.cache import CacheClearResult, CacheEntry, CacheResult, CacheSize

_DAMAGED = "A damaged file is made anew when it is needed; `nnkit cache clear NAME` removes it by its name."


def cache_table(result: CacheResult, *, width: int = WIDTH) -> str:
    """The files, one per line, and their total; names of files where there is room for them."""
    if not result.entries:
        return f"Nothing is cached in {result.folder}."
    return joined(
        _table(result.entries, width),
        f"{total_text(result.total)} in {result.folder}",
        _DAMAGED if any(entry.kind == "damaged" for entry in result.entries) else "",
    )


def clear_text(result: CacheClearResult, *, width: int = WIDTH) -> str:
    """What was removed, how many bytes that is, and what is left."""
    failures = [f"{failure.path}: {failure.error}" for failure in result.failed]
    left = f"{total_text(result.left_total)} left in {result.folder}" if result.left else ""
    if not result.removed:
        said = f"Nothing to remove in {result.folder}." if not failures else "Nothing was removed."
        return joined(said, "\n".join(failures), left)
    return joined(
        _table(result.removed, width),
        f"Removed {total_text(result.removed_total)} from {result.folder}",
        "\n".join(failures),
        left,
    )


def total_text(total: CacheSize) -> str:
    """ "3 files, 1.2 GiB"."""
    return f"{counted(total.files, 'file')}, {byte_count(total.bytes)}"


def _table(entries: Sequence[CacheEntry], width: int) -> str:
    heads, letters = ["source", "holds", "size", "age", "unused for"], "lnrrr"
    rows = [
        [entry.source, entry.kind, byte_count(entry.bytes), _span(entry.age_s), _span(entry.unused_s)]
        for entry in entries
    ]
    named = [[*row, entry.name] for row, entry in zip(rows, entries, strict=True)]
    if fits(named, [*heads, "file"], letters + "n", width):
        return table(named, [*heads, "file"], align=letters + "n", width=width)
    # Without a source its own name is all that a file can be asked for by.
    rows = [
        [row[0] or entry.name.partition(".")[0], *row[1:]] for row, entry in zip(rows, entries, strict=True)
    ]
    return joined(table(rows, heads, align=letters, width=width), "Not shown at this width: file.")


def _span(seconds: float | None) -> str:
    return MISSING if seconds is None else largest_unit(seconds)
