from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from data.image_files import mutated
from nnkit import files
from nnkit.data import cache
from nnkit.data.cache import cached, fingerprint


class Maker:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> dict[str, Tensor]:
        self.calls += 1
        return {"a": torch.arange(200, dtype=torch.uint8).reshape(2, 100), "b": torch.arange(5)}


def same(found: object) -> bool:
    assert isinstance(found, dict)
    expected = Maker()()
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in found)


def only_file(folder: Path) -> Path:
    (path,) = folder.glob("*.safetensors")
    return path


def test_the_second_time_nothing_is_made(tmp_path: Path) -> None:
    make = Maker()
    for _ in range(2):
        assert same(cached(tmp_path / "new" / "folder", "data", {"x": 1}, make))
    assert make.calls == 1


def test_other_parts_make_other_tensors(tmp_path: Path) -> None:
    make = Maker()
    cached(tmp_path, "data", {"x": 1}, make)
    cached(tmp_path, "data", {"x": 2}, make)
    assert make.calls == 2


def test_every_mutation_is_noticed_and_made_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make, rng = Maker(), np.random.default_rng(0)
    cached(tmp_path, "data", {}, make)
    path = only_file(tmp_path)
    whole = path.read_bytes()
    for _ in range(100):
        path.write_bytes(mutated(whole, rng))
        caplog.clear()
        assert same(cached(tmp_path, "data", {}, make))
        assert len(caplog.records) == (path.read_bytes() != whole or make.calls > 1)
        make.calls = 1
        path.write_bytes(whole)


def test_one_flipped_bit_of_a_tensor_is_noticed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make = Maker()
    cached(tmp_path, "data", {}, make)
    changed = bytearray(only_file(tmp_path).read_bytes())
    changed[-1] ^= 1
    only_file(tmp_path).write_bytes(changed)
    assert same(cached(tmp_path, "data", {}, make))
    assert make.calls == 2
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert same(cached(tmp_path, "data", {}, make))
    assert make.calls == 2


def test_a_cache_file_under_another_name_is_not_taken(tmp_path: Path) -> None:
    make = Maker()
    cached(tmp_path, "data", {"x": 1}, make)
    first = only_file(tmp_path)
    cached(tmp_path, "data", {"x": 2}, make)
    (second,) = set(tmp_path.glob("*.safetensors")) - {first}
    os.replace(first, second)
    cached(tmp_path, "data", {"x": 2}, make)
    assert make.calls == 3


def test_a_folder_that_cannot_be_written_costs_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    assert same(cached(tmp_path / "file" / "cache", "data", {}, Maker()))
    assert len(caplog.records) == 1


def test_temporary_files_of_dead_processes_are_removed(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    dead = tmp_path / f".abcd.{files.host()}.{process.pid}.tmp"
    alive = tmp_path / f".abcd.{files.host()}.{os.getpid()}.tmp"
    for path in (dead, alive):
        path.write_bytes(b"x")
    cached(tmp_path, "data", {}, Maker())
    assert not dead.exists()
    assert alive.exists()


def test_an_unchanged_file_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "data.tgz"
    path.write_bytes(b"x" * 100)
    old = time.time() - 60
    os.utime(path, (old, old))
    first = fingerprint(path, tmp_path / "cache")
    monkeypatch.setattr(cache.hashlib, "file_digest", None)
    assert fingerprint(path, tmp_path / "cache") == first


def test_a_changed_file_has_another_fingerprint(tmp_path: Path) -> None:
    path = tmp_path / "data.tgz"
    path.write_bytes(b"x" * 100)
    first = fingerprint(path, tmp_path / "cache")
    path.write_bytes(b"y" * 100)
    assert fingerprint(path, tmp_path / "cache") != first


def test_a_damaged_memo_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "data.tgz"
    path.write_bytes(b"x")
    os.utime(path, (1e9, 1e9))
    first = fingerprint(path, tmp_path / "cache")
    (memo,) = (tmp_path / "cache").glob("*.json")
    for text in (b"", b"[1]", b"{", b'{"sha256": 5}', b"\xff"):
        memo.write_bytes(text)
        assert fingerprint(path, tmp_path / "cache") == first
