"""What the cache's files say of themselves, and which files in its folder are none of its."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from data.image_files import random_png, write_folder, write_tgz
from nnkit import files
from nnkit.data import tensor_files
from nnkit.data.cache import cached
from nnkit.data.cache_files import CacheFile, cache_files
from nnkit.data.sources import load_source, stream_source

AGO = 1000
PICTURES = {f"{kind}/{at}.png": random_png(at) for kind in "ab" for at in range(3)}


def make() -> dict[str, torch.Tensor]:
    return {"a": torch.arange(5)}


def listed(folder: Path) -> dict[str, CacheFile]:
    return {file.path.name: file for file in cache_files(folder)}


def aged(path: Path, seconds: float = AGO) -> Path:
    then = time.time() - seconds
    os.utime(path, (then, then))
    return path


def test_each_file_says_what_it_was_made_from_what_it_holds_and_when(tmp_path: Path) -> None:
    archive = aged(write_tgz(tmp_path / "pets.tgz", PICTURES))
    folder = write_folder(tmp_path / "pets", PICTURES)
    cache, started = tmp_path / "cache", time.time()
    load_source(archive, cache)
    headers = stream_source(folder, cache).images
    headers.remembered("levels", headers.sizes[:, 0] * 0, lambda: torch.zeros(3))
    found = sorted((file.kind, file.source) for file in cache_files(cache))
    assert found == [
        ("checksum", str(archive)),
        ("counts", str(folder)),
        ("headers", str(folder)),
        ("images", str(archive)),
    ]
    for name, file in listed(cache).items():
        assert file.path == cache / name
        assert file.bytes == file.path.stat().st_size
        assert file.made is not None
        assert int(started) <= file.made <= time.time()


def test_a_file_that_is_used_again_is_as_old_and_used_just_now(tmp_path: Path) -> None:
    archive = aged(write_tgz(tmp_path / "pets.tgz", PICTURES))
    cache = tmp_path / "cache"
    load_source(archive, cache)
    for path in cache.iterdir():
        aged(path)
    before = listed(cache)
    assert all(time.time() - file.used > AGO - 60 for file in before.values())
    load_source(archive, cache)
    for name, file in listed(cache).items():
        assert file.made == before[name].made
        assert time.time() - file.used < 60


def test_a_source_is_named_by_its_own_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = aged(write_tgz(tmp_path / "pets.tgz", PICTURES))
    (tmp_path / "link.tgz").symlink_to(archive)
    monkeypatch.chdir(tmp_path)
    load_source(Path("link.tgz"), tmp_path / "cache")
    assert {file.source for file in cache_files(tmp_path / "cache")} == {str(archive)}


def test_files_of_an_earlier_nnkit_are_known_by_their_key(tmp_path: Path) -> None:
    cached(tmp_path, "pets.tgz", {}, make)
    (path,) = tmp_path.iterdir()
    tensors, header = tensor_files.read(path)
    tensor_files.save(path, tensors, {"key": header["key"]})
    (file,) = cache_files(tmp_path)
    assert (file.kind, file.source, file.made) == ("tensors", None, None)
    for about in ({"kind": "new"}, {"kind": ["x"], "source": 5, "made": "now"}, {"made": 10**30}):
        tensor_files.save(path, tensors, {"key": header["key"], **about})
        (file,) = cache_files(tmp_path)
        assert (file.kind, file.source, file.made) == ("tensors", None, None)


def test_a_damaged_file_is_told_as_such(tmp_path: Path) -> None:
    archive = aged(write_tgz(tmp_path / "pets.tgz", PICTURES))
    load_source(archive, tmp_path / "cache")
    for path in (tmp_path / "cache").iterdir():
        path.write_bytes(path.read_bytes()[:50])
    assert [file.kind for file in cache_files(tmp_path / "cache")] == ["damaged", "damaged"]
    (tmp_path / "cache" / f"sha256-{'0' * 24}.json").write_text("[" * 10**6)
    assert [file.kind for file in cache_files(tmp_path / "cache")] == ["damaged"] * 3


def test_what_a_killed_process_left_is_listed_and_what_is_being_written_is_not(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    for pid in (process.pid, os.getpid()):
        (tmp_path / f".abcd.{files.host()}.{pid}.tmp").write_bytes(b"half")
    ((name, file),) = listed(tmp_path).items()
    assert (str(process.pid) in name, file.kind, file.bytes) == (True, "temporary", 4)


def test_other_files_are_none_of_the_caches_whatever_their_name(tmp_path: Path) -> None:
    digits = "0123456789abcdef01234567"
    key = digits + "0" * 40
    tensor_files.save(tmp_path / "last.safetensors", make(), {"epoch": 3})
    tensor_files.save(tmp_path / f"model-{digits}.safetensors", make(), {"epoch": 3})
    tensor_files.save(tmp_path / f"other-{digits[::-1]}.safetensors", make(), {"key": key})
    (tmp_path / f"sha256-{digits[1:]}.json").write_text("{}")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / ".notes.tmp").write_text("mine")
    (tmp_path / f"folder-{digits}.safetensors").mkdir()
    cached(tmp_path / "deep", "pets", {}, make)
    (real,) = (tmp_path / "deep").iterdir()
    (tmp_path / real.name).symlink_to(real)
    assert listed(tmp_path) == {}


def test_no_folder_is_an_empty_cache(tmp_path: Path) -> None:
    assert listed(tmp_path / "none") == {}
    assert not (tmp_path / "none").exists()


def test_a_file_that_goes_while_the_folder_is_listed_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        cached(tmp_path, "pets", {"x": number}, make)
    first, second, third = sorted(tmp_path.iterdir())
    found = cache_files(tmp_path)
    assert next(found).path == first
    second.unlink()
    assert [file.path for file in found] == [third]
