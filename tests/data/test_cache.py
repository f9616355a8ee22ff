from __future__ import annotations

import hashlib
import logging
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from data.image_files import mutated, random_png, write_folder
from nnkit import files
from nnkit.data import cache, tensor_files
from nnkit.data.cache import cached, fingerprint
from nnkit.data.sources import load_source
from nnkit.errors import DataError


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


@pytest.mark.parametrize("folder_is_there", [True, False])
def test_readers_never_see_a_part_of_a_cache_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder_is_there: bool
) -> None:
    folder = tmp_path if folder_is_there else tmp_path / "new"
    replaced = []
    replace = os.replace

    def watched(source: Path, target: Path) -> None:
        assert not target.exists()
        assert same(tensor_files.read(source)[0])
        assert source.parent == target.parent
        replace(source, target)
        replaced.append(target)

    monkeypatch.setattr(os, "replace", watched)
    cached(folder, "data", {}, Maker())
    assert replaced == list(folder.iterdir())


@pytest.mark.parametrize("is_damaged", [False, True])
def test_a_failed_write_costs_one_warning_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, is_damaged: bool
) -> None:
    if is_damaged:
        cached(tmp_path, "data", {}, Maker())
        only_file(tmp_path).write_bytes(b"damaged")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    assert same(cached(tmp_path, "data", {}, Maker()))
    assert len(caplog.records) == 1
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_cannot_be_made_is_no_error_of_the_cache(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> dict[str, Tensor]:
        raise DataError("no images")

    with pytest.raises(DataError, match="no images"):
        cached(tmp_path, "data", {}, fail)
    assert caplog.records == []
    assert list(tmp_path.iterdir()) == []


def test_the_order_in_which_the_parts_are_named_does_not_matter(tmp_path: Path) -> None:
    make = Maker()
    cached(tmp_path, "data", {"x": 1, "y": [2]}, make)
    cached(tmp_path, "data", {"y": [2], "x": 1}, make)
    assert make.calls == 1


def test_another_version_of_the_format_is_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Maker()
    cached(tmp_path, "data", {"x": 1}, make)
    monkeypatch.setattr(cache, "FORMAT_VERSION", cache.FORMAT_VERSION + 1)
    cached(tmp_path, "data", {"x": 1}, make)
    assert make.calls == 2
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


@pytest.mark.parametrize(
    ("name", "begin"),
    [
        ("pets.tgz", "pets-tgz-"),
        ("../a b//c_D-9.", "a-b-c_D-9-"),
        ("é…", "data-"),
        ("X-rayX", "X-rayX-"),
        ("", "data-"),
        ("x" * 39 + "yz", "x" * 39 + "y-"),
    ],
)
def test_a_files_name_begins_with_what_it_is_for(tmp_path: Path, name: str, begin: str) -> None:
    cached(tmp_path / "cache", name, {"x": 1}, Maker())
    assert re.fullmatch(re.escape(begin) + "[0-9a-f]{24}", only_file(tmp_path / "cache").stem)
    assert list(tmp_path.iterdir()) == [tmp_path / "cache"]


# Fingerprints of archives: a file's time is set by hand, so that it is old enough to be remembered.

NOW_NS = 1_700_000_000_000_000_000


def write_aged(path: Path, content: bytes, *, time_ns: int = NOW_NS - 60 * 10**9) -> Path:
    path.write_bytes(content)
    os.utime(path, ns=(time_ns, time_ns))
    return path


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(time, "time_ns", lambda: NOW_NS)
    return write_aged(tmp_path / "data.tgz", b"x" * 100)


def test_an_archives_fingerprint_is_its_sha256(archive: Path, tmp_path: Path) -> None:
    assert fingerprint(archive, tmp_path / "cache") == sha256(b"x" * 100)
    assert fingerprint(archive, tmp_path / "cache") == sha256(b"x" * 100)


def test_an_unchanged_file_is_read_once(archive: Path, tmp_path: Path) -> None:
    first = fingerprint(archive, tmp_path / "cache")
    write_aged(archive, b"y" * 100)  # what no look at size and time can tell
    assert fingerprint(archive, tmp_path / "cache") == first
    assert fingerprint(archive, tmp_path / "other cache") == sha256(b"y" * 100)


def test_a_file_of_another_time_is_read_again(archive: Path, tmp_path: Path) -> None:
    fingerprint(archive, tmp_path / "cache")
    write_aged(archive, b"y" * 100, time_ns=NOW_NS - 60 * 10**9 - 1)
    assert fingerprint(archive, tmp_path / "cache") == sha256(b"y" * 100)


def test_a_file_of_another_size_is_read_again(archive: Path, tmp_path: Path) -> None:
    fingerprint(archive, tmp_path / "cache")
    write_aged(archive, b"x" * 101)
    assert fingerprint(archive, tmp_path / "cache") == sha256(b"x" * 101)


def test_another_file_of_the_same_size_and_time_is_not_taken_for_it(archive: Path, tmp_path: Path) -> None:
    fingerprint(archive, tmp_path / "cache")
    other = write_aged(tmp_path / "other.tgz", b"y" * 100)
    assert fingerprint(other, tmp_path / "cache") == sha256(b"y" * 100)
    (tmp_path / "link.tgz").symlink_to(archive)
    write_aged(archive, b"z" * 100)
    assert fingerprint(tmp_path / "link.tgz", tmp_path / "cache") == sha256(b"x" * 100)


@pytest.mark.parametrize(("age_ns", "is_remembered"), [(0, False), (2 * 10**9, False), (2 * 10**9 + 1, True)])
def test_a_file_that_may_still_change_within_a_tick_of_the_clock_is_not_remembered(
    archive: Path, tmp_path: Path, age_ns: int, is_remembered: bool
) -> None:
    write_aged(archive, b"x" * 100, time_ns=NOW_NS - age_ns)
    fingerprint(archive, tmp_path / "cache")
    write_aged(archive, b"y" * 100, time_ns=NOW_NS - age_ns)
    expected = b"x" if is_remembered else b"y"
    assert fingerprint(archive, tmp_path / "cache") == sha256(expected * 100)


def test_a_damaged_memo_is_ignored(archive: Path, tmp_path: Path) -> None:
    right = fingerprint(archive, tmp_path / "cache")
    (memo,) = (tmp_path / "cache").iterdir()
    whole = memo.read_text()
    damaged = [whole.replace(right, wrong) for wrong in (right[:-1], right + "0", "g" * 64, "")]
    damaged += [whole.replace(f'"{right}"', "5"), "[" * 100_000, "[1]", "{", '{"sha256": 5}', ""]
    for text in damaged:
        memo.write_text(text)
        assert fingerprint(archive, tmp_path / "cache") == right
        assert memo.read_text() == whole
    memo.write_bytes(b"\xff")
    assert fingerprint(archive, tmp_path / "cache") == right


def test_readers_never_see_a_part_of_a_memo(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    assert fingerprint(archive, tmp_path / "cache") == sha256(b"x" * 100)
    assert list((tmp_path / "cache").iterdir()) == []


def test_an_archive_has_its_fingerprint_also_where_nothing_can_be_written(
    archive: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    assert fingerprint(archive, tmp_path / "file" / "cache") == sha256(b"x" * 100)
    assert fingerprint(archive, tmp_path / "deep" / "cache") == sha256(b"x" * 100)
    assert len(list((tmp_path / "deep" / "cache").iterdir())) == 1


def test_what_cannot_be_read_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*none"):
        fingerprint(tmp_path / "none.tgz", tmp_path / "cache")


# Fingerprints of folders.

PICTURES = {"cat/1.png": b"12345", "dog/2.png": b"678"}


def pictures(folder: Path) -> Path:
    for name, content in PICTURES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_aged(folder / name, content)
    return folder


def test_a_folder_is_told_by_names_sizes_and_times_of_its_images_and_by_its_place(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "pets")
    seen = [fingerprint(folder, tmp_path / "cache")]
    assert re.fullmatch("[0-9a-f]{64}", seen[0])
    write_aged(folder / "cat/1.png", b"12345", time_ns=NOW_NS)
    seen.append(fingerprint(folder, tmp_path / "cache"))
    write_aged(folder / "cat/1.png", b"123456")
    seen.append(fingerprint(folder, tmp_path / "cache"))
    os.replace(folder / "dog/2.png", folder / "dog/3.png")
    seen.append(fingerprint(folder, tmp_path / "cache"))
    os.remove(folder / "dog/3.png")
    seen.append(fingerprint(folder, tmp_path / "cache"))
    seen.append(fingerprint(pictures(tmp_path / "elsewhere"), tmp_path / "cache"))
    assert len(set(seen)) == 6
    assert fingerprint(pictures(folder), tmp_path / "cache") == seen[0]
    assert not (tmp_path / "cache").exists()


def test_a_folder_is_the_same_by_whatever_path_and_with_whatever_else_lies_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = pictures(tmp_path / "pets")
    first = fingerprint(folder, tmp_path)
    (folder / "notes.txt").write_text("new")
    (folder / ".hidden.png").write_bytes(b"new")
    assert fingerprint(folder, tmp_path) == first
    (tmp_path / "link").symlink_to(folder)
    assert fingerprint(tmp_path / "link", tmp_path) == first
    monkeypatch.chdir(tmp_path)
    assert fingerprint(Path("pets"), tmp_path) == first


def test_names_that_are_no_text_are_told_apart_too(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    pictures(folder)
    first = fingerprint(folder, tmp_path)
    strange = Path(os.fsdecode(os.fsencode(folder) + b"/cat/\xfe.png"))
    strange.write_bytes(b"1")
    assert fingerprint(folder, tmp_path) != first
    packed = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.tgz"))
    packed.write_bytes(b"1")
    assert fingerprint(packed, tmp_path) == sha256(b"1")


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="no /proc")
def test_decoded_images_are_mapped_from_the_cache_so_that_processes_share_them(tmp_path: Path) -> None:
    """Each page of such a mapping that is only read is the page cache's, in every process."""
    files = {f"{number}.png": random_png(number, 20 + number % 3, 30) for number in range(12)}
    folder = write_folder(tmp_path / "images", files)
    load_source(folder, tmp_path / "cache")
    images = load_source(folder, tmp_path / "cache").images
    address = images.buffer.data_ptr()
    for line in Path("/proc/self/maps").read_text().splitlines():
        first, _, last = line.partition(" ")[0].partition("-")
        if int(first, 16) <= address < int(last, 16):
            assert str(tmp_path / "cache") in line
            break
    else:
        raise AssertionError("the buffer is in no mapping")
    assert images.image(3).data_ptr() == address + int(images._table()[3, 2])
    assert images.to("cpu").buffer.data_ptr() == address
