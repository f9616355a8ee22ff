"""Each file of the cache with its source, size and age; totals; what was removed, failed, is left."""

from __future__ import annotations

import pytest

from nnkit.present.cache import cache_table, clear_text
from nnkit.present.text import byte_count
from nnkit.results.cache import CacheClearResult, CacheEntry, CacheFailure, CacheResult, CacheSize
from present.reading import read_table

FOLDER = "/home/ada/.cache/nnkit/decoded"
HEADS = ["source", "holds", "size", "age", "unused for"]


def entry(
    name: str, kind: str, source: str | None, size: int, age_s: float | None, unused_s: float
) -> CacheEntry:
    return CacheEntry(
        name=name,
        path=f"{FOLDER}/{name}",
        kind=kind,
        source=source,
        bytes=size,
        made=None if age_s is None else "2026-11-20T14:18:00+00:00",
        age_s=age_s,
        last_used="2026-11-21T14:18:00+00:00",
        unused_s=unused_s,
    )


DIGITS = "0123456789abcdef01234567"
ENTRIES = (
    entry(f"old-{DIGITS}.safetensors", "tensors", None, 512, None, 30 * 86_400),
    entry(f"pets-tgz-{DIGITS}.safetensors", "images", "/data/pets.tgz", 3 << 29, 3 * 86_400, 7200),
    entry(f"sha256-{DIGITS}.json", "checksum", "/data/pets.tgz", 160, 3 * 86_400, 45.2),
)
LISTED = CacheResult(folder=FOLDER, entries=ENTRIES, total=CacheSize(files=3, bytes=(3 << 29) + 672))


@pytest.mark.parametrize("width", [70, 80, 110, 160])
def test_each_file_has_its_row(width: int) -> None:
    text = cache_table(LISTED, width=width)
    rows = read_table(text, *HEADS, *(["file"] if width >= 110 else []))
    assert [(row["holds"], row["size"], row["age"], row["unused for"]) for row in rows] == [
        ("tensors", "512 B", "–", "4 w"),
        ("images", "1.5 GiB", "3 d", "2 h"),
        ("checksum", "160 B", "3 d", "45 s"),
    ]
    assert rows[1]["source"] == rows[2]["source"] == "/data/pets.tgz"
    assert text.endswith(f"3 files, 1.5 GiB in {FOLDER}")
    assert max(map(len, text.splitlines()[:-1])) <= width
    shows_files = "Not shown at this width: file." not in text
    assert shows_files == (width >= 110)
    assert (f"pets-tgz-{DIGITS}.safetensors" in text) == shows_files


def test_a_file_of_unknown_source_is_named_even_where_there_is_no_room_for_files() -> None:
    rows = read_table(cache_table(LISTED, width=80), *HEADS)
    assert rows[0]["source"] == f"old-{DIGITS}"


def test_on_a_narrow_terminal_each_file_is_a_block() -> None:
    text = cache_table(LISTED, width=40)
    assert text.count("holds") == 3


def test_a_damaged_file_is_explained() -> None:
    assert "damaged" not in cache_table(LISTED)
    damaged = LISTED.model_copy(update={"entries": (entry("x", "damaged", None, 5, None, 1.0),)})
    assert "`nnkit cache clear NAME`" in cache_table(damaged)


def test_an_empty_cache_says_so() -> None:
    empty = CacheResult(folder=FOLDER, entries=(), total=CacheSize(files=0, bytes=0))
    assert cache_table(empty) == f"Nothing is cached in {FOLDER}."


def cleared(removed: int, failed: int = 0) -> CacheClearResult:
    gone, left = ENTRIES[:removed], ENTRIES[removed:]
    return CacheClearResult(
        folder=FOLDER,
        removed=gone,
        removed_total=CacheSize(files=len(gone), bytes=sum(entry.bytes for entry in gone)),
        failed=tuple(
            CacheFailure(name=entry.name, path=entry.path, error="refused") for entry in left[:failed]
        ),
        left=left,
        left_total=CacheSize(files=len(left), bytes=sum(entry.bytes for entry in left)),
    )


def test_what_was_removed_is_told_with_its_size_and_what_is_left() -> None:
    text = clear_text(cleared(2))
    assert len(read_table(text, *HEADS)) == 2
    assert f"Removed 2 files, 1.5 GiB from {FOLDER}" in text
    assert text.endswith(f"1 file, 160 B left in {FOLDER}")
    assert "left" not in clear_text(cleared(3))


def test_nothing_to_remove_is_said() -> None:
    text = clear_text(cleared(0))
    assert text.startswith(f"Nothing to remove in {FOLDER}.")
    assert text.endswith(f"3 files, 1.5 GiB left in {FOLDER}")


@pytest.mark.parametrize("removed", [0, 1])
def test_each_file_that_could_not_be_removed_is_named(removed: int) -> None:
    text = clear_text(cleared(removed, failed=2))
    for failure in cleared(removed, failed=2).failed:
        assert f"{failure.path}: refused" in text
    assert "Nothing to remove" not in text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), ((1 << 20) - 1, "1.0 MiB"),
        (5 << 20, "5.0 MiB"), (3 << 29, "1.5 GiB"), (1 << 40, "1.0 TiB"), (5 << 50, "5,120.0 TiB"),
    ],
)  # fmt: skip
def test_bytes_are_counted_in_the_largest_unit_that_fits(number: int, text: str) -> None:
    assert byte_count(number) == text
