"""What is cached is listed with its total; what is removed is what was asked for, nobody else's."""

from __future__ import annotations

import multiprocessing
import os
import stat
import time
from pathlib import Path

import pytest
import torch

from data.image_files import random_png, write_folder, write_tgz
from nnkit import files
from nnkit.config import resolve
from nnkit.data import tensor_files
from nnkit.data.cache import cached
from nnkit.data.sources import load_source
from nnkit.errors import ConfigError, NnkitError, PartialError, UsageError
from nnkit.results.cache import CacheClearResult, CacheEntry
from nnkit.studies.cache import CacheClearConfig, cache_size, check_cleared, clear_cache, list_cache

DAY_S = 86_400
FORK = multiprocessing.get_context("fork")


def aged(path: Path, days: float) -> None:
    then = time.time() - days * DAY_S
    os.utime(path, (then, then))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of an archive and of a folder, unused for 40 days and 10 days, among files that are not its."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("NNKIT_CACHE", str(folder))
    archive = write_tgz(tmp_path / "pets.tgz", {"a/1.png": random_png(1), "b/2.png": random_png(2)})
    aged(archive, 1)
    load_source(archive, folder)
    for path in folder.iterdir():
        aged(path, 40)
    load_source(write_folder(tmp_path / "birds", {"x.png": random_png(3)}), folder)
    for path in folder.glob("birds-*"):
        aged(path, 10)
    tensor_files.save(folder / f"mine-{'0' * 24}.safetensors", {"a": torch.zeros(3)}, {"epoch": 1})
    (folder / "notes.txt").write_text("mine")
    (folder / f".ab.{files.host()}.{os.getpid()}.tmp").write_text("being written")
    return folder


def foreign(folder: Path) -> list[str]:
    return [name for name in (f"mine-{'0' * 24}.safetensors", "notes.txt") if (folder / name).exists()]


def kinds(entries: tuple[CacheEntry, ...]) -> list[tuple[str, str]]:
    return sorted((Path(entry.source or "").name, entry.kind) for entry in entries)


def clear(**options: object) -> CacheClearResult:
    return clear_cache(resolve(CacheClearConfig, options).config)


def test_all_is_listed_with_its_total(cache: Path) -> None:
    found = list_cache()
    assert kinds(found.entries) == [("birds", "images"), ("pets.tgz", "checksum"), ("pets.tgz", "images")]
    assert found.folder == str(cache)
    assert found.total.files == 3
    assert found.total.bytes == sum(Path(entry.path).stat().st_size for entry in found.entries)
    assert cache_size() == found.total
    for entry in found.entries:
        days = 10 if "birds" in entry.name else 40
        assert entry.unused_s == pytest.approx(days * DAY_S, abs=60)
        assert entry.age_s is not None
        assert 0 <= entry.age_s < 60
        assert entry.made is not None
        assert entry.last_used < entry.made


def test_all_goes_but_what_is_not_the_caches(cache: Path) -> None:
    before = list_cache()
    done = clear()
    assert kinds(done.removed) == kinds(before.entries)
    assert done.removed_total == before.total
    assert (done.left, done.failed) == ((), ())
    assert len(foreign(cache)) == 2
    assert len(list(cache.iterdir())) == 3
    check_cleared(done)
    assert clear().removed == ()
    assert list_cache().total.files == 0


@pytest.mark.parametrize(
    ("age", "removed"),
    [
        ("60d", 0),
        ("30d", 2),
        ("5w", 2),
        ("6w", 0),
        ("9d", 3),
        ("239h", 3),
        ("241h", 2),
        ("1min", 3),
        ("1.5w", 2),
        ("1s", 3),
    ],
)
def test_only_what_was_not_used_for_so_long_goes(cache: Path, age: str, removed: int) -> None:
    done = clear(older_than=age)
    assert len(done.removed) == removed
    assert len(done.left) == 3 - removed == list_cache().total.files


@pytest.mark.parametrize(
    "age", ["", "30", "d", "-1d", "0d", "90m", "1e9d", "30 d", "30y", "٣d", "1234567890d"]
)
def test_what_is_no_age_is_refused(cache: Path, age: str) -> None:
    with pytest.raises(ConfigError, match="older_than"):
        clear(older_than=age)
    assert list_cache().total.files == 3


def test_what_is_named_goes(cache: Path, tmp_path: Path) -> None:
    assert kinds(clear(names=("pets.tgz",)).removed) == [("pets.tgz", "checksum"), ("pets.tgz", "images")]
    assert kinds(clear(names=(str(tmp_path / "birds"),)).removed) == [("birds", "images")]


@pytest.mark.parametrize("part", ["name", "stem"])
def test_a_file_is_named_with_its_suffix_or_without(cache: Path, part: str) -> None:
    name = getattr(next(cache.glob("birds-*")), part)
    done = clear(names=(name,), older_than="30d")
    assert done.removed == ()
    assert kinds(clear(names=(name,), older_than="9d").removed) == [("birds", "images")]


@pytest.mark.parametrize("name", ["pets.tzg", "notes.txt", f"mine-{'0' * 24}", "", "../cache", "."])
def test_one_name_that_is_not_there_removes_nothing(cache: Path, name: str) -> None:
    with pytest.raises(UsageError, match="nothing was removed") as caught:
        clear(names=("birds", name))
    assert name != "pets.tzg" or 'did you mean "pets.tgz"?' in caught.value.hint
    assert list_cache().total.files == 3
    assert len(foreign(cache)) == 2


def test_a_damaged_file_goes_by_its_name_alone(cache: Path) -> None:
    (path,) = cache.glob("birds-*")
    path.write_bytes(b"damaged")
    aged(path, 100)
    assert path.exists()
    assert kinds(clear(older_than="50d").removed) == []
    assert [entry.kind for entry in clear().left] == ["damaged"]
    assert [entry.kind for entry in clear(names=(path.name,)).removed] == ["damaged"]
    assert not path.exists()


def test_no_cache_and_an_empty_one_are_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        monkeypatch.setenv("NNKIT_CACHE", str(folder))
        assert (list_cache().entries, clear().removed, clear(older_than="1d").removed) == ((), (), ())
    assert list(tmp_path.iterdir()) == []


def test_a_file_for_a_folder_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("NNKIT_CACHE", str(tmp_path / "file"))
    for act in (list_cache, clear_cache):
        with pytest.raises(NnkitError, match="cannot be read"):
            act()
    assert cache_size().files == 0


def test_what_cannot_be_removed_is_told_and_the_rest_goes(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.name.startswith(refused):
            raise PermissionError(1, "Operation not permitted")
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    refused = "birds"
    done = clear()
    assert kinds(done.removed) == [("pets.tgz", "checksum"), ("pets.tgz", "images")]
    assert [failure.error for failure in done.failed] == ["Operation not permitted"]
    assert kinds(done.left) == [("birds", "images")]
    with pytest.raises(PartialError, match="1 of 3 files could not be removed"):
        check_cleared(done)
    with pytest.raises(NnkitError) as caught:
        check_cleared(clear())
    assert caught.value.exit_code == 1


def test_a_file_that_another_process_removes_first_is_no_error(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = Path.unlink

    def raced(path: Path, missing_ok: bool = False) -> None:
        unlink(path)
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", raced)
    assert len(clear().removed) == 3


def read_while_it_is_cleared(
    archive: Path, folder: Path, mapped: object, cleared: object, out: object
) -> None:
    images = load_source(archive, folder).images
    mapped.set()  # type: ignore[attr-defined]
    cleared.wait(30)  # type: ignore[attr-defined]
    again = load_source(archive, folder).images
    out.put(bool(torch.equal(images.buffer, again.buffer)))  # type: ignore[attr-defined]


def test_who_reads_a_file_that_is_removed_goes_on_reading(cache: Path, tmp_path: Path) -> None:
    mapped, cleared, out = FORK.Event(), FORK.Event(), FORK.Queue()
    words = (tmp_path / "pets.tgz", cache, mapped, cleared, out)
    process = FORK.Process(target=read_while_it_is_cleared, args=words)
    process.start()
    assert mapped.wait(30)
    assert len(clear().removed) == 3
    cleared.set()
    assert out.get(timeout=30) is True
    process.join()
    assert kinds(list_cache().entries) == [("pets.tgz", "checksum"), ("pets.tgz", "images")]


def test_nothing_but_a_regular_file_is_removed(cache: Path, tmp_path: Path) -> None:
    (real,) = cache.glob("birds-*")
    elsewhere = tmp_path / "elsewhere"
    os.rename(real, elsewhere)
    real.symlink_to(elsewhere)
    clear()
    assert stat.S_ISLNK(real.lstat().st_mode)
    assert elsewhere.exists()


def test_older_caches_are_cleared_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNKIT_CACHE", str(tmp_path))
    cached(tmp_path, "pets.tgz", {}, lambda: {"a": torch.zeros(2)})
    (path,) = tmp_path.iterdir()
    tensors, header = tensor_files.read(path)
    tensor_files.save(path, tensors, {"key": header["key"]})
    assert [entry.kind for entry in clear().removed] == ["tensors"]
