from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from data.image_files import mutated, random_png, write_folder, write_tgz, write_zip
from nnkit.data import archive
from nnkit.data.archive import read_images
from nnkit.errors import DataError

FILES = {f"top/{kind}/{number}.png": random_png(number) for number, kind in enumerate("abcab")}
OTHERS = {"top/readme.txt": b"text", "top/.hidden.png": b"x", ".git/x.png": b"x", "__MACOSX/._1.png": b"x"}


@pytest.mark.parametrize("kind", ["folder", "data.tgz", "data.tar.gz", "data.tar", "data.zip"])
def test_only_image_files_are_read(tmp_path: Path, kind: str) -> None:
    files = FILES | OTHERS
    path = tmp_path / kind
    if kind == "folder":
        write_folder(path, files)
    elif kind.endswith(".zip"):
        write_zip(path, files)
    else:
        write_tgz(path, files, "w" if kind.endswith(".tar") else "w:gz")
    assert dict(read_images(path)) == FILES


NAMES = ["../x.png", "a/../../x.png", "/etc/x.png", "C:\\x.png", "a\\..\\..\\x.png", "../notes.txt"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("write", [write_tgz, write_zip])
def test_a_name_that_points_outside_is_refused(tmp_path: Path, write: object, name: str) -> None:
    path = tmp_path / ("data.zip" if write is write_zip else "data.tgz")
    write(path, FILES | {name: random_png(0)})  # type: ignore[operator]
    with pytest.raises(DataError, match="refused") as caught:
        list(read_images(path))
    assert caught.value.exit_code == 1
    assert name.split("\\")[0].split("/")[0] in caught.value.message
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "data.tgz", "w:gz") as file:
        member = tarfile.TarInfo("a/x.png")
        member.type, member.linkname = kind, "/etc/passwd"
        file.addfile(member)
    with pytest.raises(DataError, match=r"a/x\.png.*link or device"):
        list(read_images(tmp_path / "data.tgz"))


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as file:
        member = zipfile.ZipInfo("x.png")
        member.external_attr = 0o120777 << 16
        file.writestr(member, "/etc/passwd")
    with pytest.raises(DataError, match="link"):
        list(read_images(tmp_path / "data.zip"))


def test_a_tar_member_that_says_ten_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    member = tarfile.TarInfo("x.png")
    member.size = 10 << 30
    (tmp_path / "data.tgz").write_bytes(gzip.compress(member.tobuf() + bytes(1024)))
    with pytest.raises(DataError, match="64 MiB"):
        list(read_images(tmp_path / "data.tgz"))


def test_a_zip_member_that_unpacks_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    write_zip(tmp_path / "data.zip", {"x.png": bytes(archive.MEMBER_LIMIT + 1)})
    with pytest.raises(DataError, match="64 MiB"):
        list(read_images(tmp_path / "data.zip"))


def test_a_zip_member_packed_otherwise_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "data.zip", "w", zipfile.ZIP_BZIP2) as file:
        file.writestr("x.png", bytes(1000))
    with pytest.raises(DataError, match="deflated"):
        list(read_images(tmp_path / "data.zip"))


@pytest.mark.parametrize("write", [write_tgz, write_zip])
def test_the_total_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: object) -> None:
    monkeypatch.setattr(archive, "TOTAL_LIMIT", 1 << 20)
    path = tmp_path / ("data.zip" if write is write_zip else "data.tgz")
    write(path, {f"{number}.png": bytes(400_000) for number in range(3)})  # type: ignore[operator]
    with pytest.raises(DataError, match="unpacks to more"):
        list(read_images(path))


def test_a_name_of_a_hundred_megabytes_is_refused_unread(tmp_path: Path) -> None:
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 100 << 20
    (tmp_path / "data.tgz").write_bytes(gzip.compress(header.tobuf() + bytes(1 << 20)))
    with pytest.raises(DataError, match="header is too large"):
        list(read_images(tmp_path / "data.tgz"))


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_tar_cut_anywhere_is_damaged(tmp_path: Path, mode: str) -> None:
    path = write_tgz(tmp_path / ("data.tar" if mode == "w" else "data.tgz"), FILES, mode)
    with tarfile.open(path) as file:
        end = file.getmembers()[-1]
    whole = path.read_bytes()
    longest = end.offset_data + end.size if mode == "w" else len(whole) - 1
    for length in (0, 1, 511, 512, 1024, 1536, longest // 2, longest):
        path.write_bytes(whole[: min(length, longest)])
        with pytest.raises(DataError):
            list(read_images(path))


def test_a_web_page_in_place_of_an_archive_is_damaged(tmp_path: Path) -> None:
    for name in ("data.tgz", "data.tar", "data.zip"):
        (tmp_path / name).write_bytes(b"<html>not found</html>")
        with pytest.raises(DataError, match="damaged"):
            list(read_images(tmp_path / name))


@pytest.mark.parametrize("kind", ["data.tgz", "data.tar", "data.zip"])
def test_mutations_give_images_or_a_data_error(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    write = write_zip if kind.endswith("zip") else write_tgz
    write(path, FILES, **({"mode": "w"} if kind.endswith(".tar") else {}))
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(100):
        path.write_bytes(mutated(whole, rng))
        try:
            list(read_images(path))
        except DataError:
            refused += 1
    assert refused > 20


def test_a_chain_of_long_names_is_damaged_not_a_recursion(tmp_path: Path) -> None:
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 2
    (tmp_path / "data.tgz").write_bytes(gzip.compress((header.tobuf() + b"x\0".ljust(512, b"\0")) * 5000))
    with pytest.raises(DataError):
        list(read_images(tmp_path / "data.tgz"))


def test_an_archive_that_is_not_there_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read"):
        list(read_images(tmp_path / "none.tgz"))


def test_a_good_tar_can_be_read_by_others(tmp_path: Path) -> None:
    data = io.BytesIO(write_tgz(tmp_path / "data.tgz", FILES).read_bytes())
    with tarfile.open(fileobj=data) as file:
        assert file.getnames() == [name for name, _ in read_images(tmp_path / "data.tgz")]
