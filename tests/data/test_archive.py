from __future__ import annotations

import gzip
import io
import os
import shutil
import tarfile
import tracemalloc
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from data.image_files import mutated, random_png, write_folder, write_tgz, write_zip
from nnkit.data import archive
from nnkit.data.archive import is_archive, list_folder, read_images
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


NAMES = [
    "../x.png",
    "a/../../x.png",
    "/etc/x.png",
    "C:\\x.png",
    "c:x.png",
    "\\x.png",
    "a\\..\\..\\x.png",
    "../notes.txt",
]


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


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("x.tgz", True),
        ("x.tar.gz", True),
        ("X.TAR", True),
        ("x.y.Zip", True),
        ("x.gz", False),
        ("tgz", False),
        ("x.tgz.part", False),
        ("x.7z", False),
    ],
)
def test_archives_are_told_by_their_suffix(name: str, is_one: bool) -> None:
    assert is_archive(Path("a.zip", name)) == is_one


def read(folder: Path, kind: str, files: Mapping[str, bytes]) -> list[tuple[str, bytes]]:
    """What an archive or folder of these files gives; one that was read before is replaced."""
    path = folder / kind
    if kind == "folder":
        shutil.rmtree(path, ignore_errors=True)
        write_folder(path, files)
    elif kind.endswith(".zip"):
        write_zip(path, files)
    else:
        write_tgz(path, files, "w" if kind.endswith(".tar") else "w:gz")
    return list(read_images(path))


ALL_KINDS = ["folder", "data.tgz", "data.tar", "data.zip"]
ARCHIVES = ALL_KINDS[1:]


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_images_are_told_by_their_suffix_in_either_case(tmp_path: Path, kind: str) -> None:
    suffixes = ["png", "jpg", "jpeg", "bmp", "gif", "webp", "tif", "tiff", "pgm", "ppm"]
    wanted = {f"a/x.{suffix}": suffix.encode() for suffix in suffixes}
    wanted |= {f"a/y.{suffix.upper()}": b"" for suffix in suffixes}
    others = {"a/png": b"1", "a/x.txt": b"2", "a/x.png.txt": b"3", "a/.png": b"4", "a/.b/c/x.png": b"5"}
    assert dict(read(tmp_path, kind, wanted | others)) == wanted


@pytest.mark.parametrize("kind", ARCHIVES)
def test_an_archive_is_read_in_its_own_order_and_a_folder_sorted(tmp_path: Path, kind: str) -> None:
    files = {name: name.encode() for name in ("c.png", "a/z.png", "b.png", "a/b/x.png", "a.b/x.png")}
    assert read(tmp_path, kind, files) == list(files.items())
    assert read(tmp_path, "folder", files) == sorted(files.items())


@pytest.mark.parametrize(
    ("name", "given"),
    [("a\\b\\x.png", "a/b/x.png"), ("./a//x.png", "a/x.png"), ("a/./x.png", "a/x.png"), ("a..b/x.png",) * 2],
)
@pytest.mark.parametrize("kind", ["data.tar", "data.zip"])
def test_names_come_with_single_slashes(tmp_path: Path, kind: str, name: str, given: str) -> None:
    assert read(tmp_path, kind, {name: b"1"}) == [(given, b"1")]


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_member_may_have_as_many_bytes_as_the_limit_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(archive, "MEMBER_LIMIT", 1000)
    files = {"a/x.png": bytes(1000), "a/y.png": bytes(1000)}
    assert read(tmp_path, kind, files) == list(files.items())
    with pytest.raises(DataError, match=r"y\.png"):
        read(tmp_path, kind, files | {"a/y.png": bytes(1001)})


@pytest.mark.parametrize("kind", ARCHIVES)
def test_an_archive_may_have_as_many_members_as_the_limit_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(archive, "COUNT_LIMIT", 3)
    files = {f"{number}.txt": b"" for number in range(3)}
    assert read(tmp_path, kind, files) == []
    with pytest.raises(DataError, match="more than 3 members"):
        read(tmp_path, kind, files | {"4.txt": b""})


def test_a_zip_may_unpack_to_as_many_bytes_as_the_limit_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "TOTAL_LIMIT", 1000)
    files = {"x.png": bytes(400), "y.txt": bytes(300), "z.png": bytes(300)}
    assert len(read(tmp_path, "data.zip", files)) == 2
    with pytest.raises(DataError, match="unpacks to more"):
        read(tmp_path, "data.zip", files | {"y.txt": bytes(301)})


def test_a_tar_may_unpack_to_as_many_bytes_as_the_limit_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(write_tgz(tmp_path / "data.tar", FILES, "w").read_bytes())
    monkeypatch.setattr(archive, "TOTAL_LIMIT", size)
    assert dict(read_images(tmp_path / "data.tar")) == FILES
    monkeypatch.setattr(archive, "TOTAL_LIMIT", size - 1)
    with pytest.raises(DataError, match="unpacks to more"):
        list(read_images(tmp_path / "data.tar"))


def test_what_follows_the_end_of_a_tar_is_bounded_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tar = write_tgz(tmp_path / "data.tar", FILES, "w").read_bytes()
    (tmp_path / "data.tgz").write_bytes(gzip.compress(tar + bytes(40 << 20), 1))
    tracemalloc.start()
    assert dict(read_images(tmp_path / "data.tgz")) == FILES
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 10 << 20
    monkeypatch.setattr(archive, "TOTAL_LIMIT", 2 << 20)
    with pytest.raises(DataError, match="unpacks to more"):
        list(read_images(tmp_path / "data.tgz"))


def test_the_checksum_at_the_end_of_a_tgz_is_looked_at(tmp_path: Path) -> None:
    path = write_tgz(tmp_path / "data.tgz", FILES)
    whole = bytearray(path.read_bytes())
    whole[-8] ^= 1
    path.write_bytes(whole)
    images = read_images(path)
    assert dict(next(images) for _ in FILES) == FILES
    with pytest.raises(DataError, match="damaged"):
        next(images)


def test_a_tar_whose_later_header_is_broken_is_damaged(tmp_path: Path) -> None:
    path = write_tgz(tmp_path / "data.tar", FILES, "w")
    with tarfile.open(path) as file:
        start = file.getmembers()[3].offset
    whole = bytearray(path.read_bytes())
    whole[start] ^= 1
    path.write_bytes(whole)
    images = read_images(path)
    assert dict(next(images) for _ in range(3)) == dict(list(FILES.items())[:3])
    with pytest.raises(DataError, match="breaks off after 3 members"):
        next(images)


def test_a_long_name_is_read(tmp_path: Path) -> None:
    name = "/".join(["folder" * 20] * 40) + "/x.png"
    for kind in ARCHIVES:
        assert read(tmp_path, kind, {name: b"1"}) == [(name, b"1")]


def test_one_header_may_have_as_many_bytes_as_the_limit_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "HEADER_LIMIT", 1024)
    assert read(tmp_path, "data.tar", {"a" * 900 + "/x.png": b"1"})
    with pytest.raises(DataError, match=r"data\.tar: refused.*header is too large"):
        read(tmp_path, "data.tar", {"a" * 1100 + "/x.png": b"1"})


def test_a_name_with_a_nul_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "data.tar", "w", format=tarfile.PAX_FORMAT) as file:
        member = tarfile.TarInfo("x.png")
        member.pax_headers = {"path": "a\0b.png"}
        file.addfile(member)
    with pytest.raises(DataError, match="NUL"):
        list(read_images(tmp_path / "data.tar"))


def test_a_sparse_file_is_refused(tmp_path: Path) -> None:
    member = tarfile.TarInfo("x.png")
    member.type = tarfile.GNUTYPE_SPARSE
    (tmp_path / "data.tar").write_bytes(member.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(DataError, match="sparse"):
        list(read_images(tmp_path / "data.tar"))


@pytest.mark.parametrize("kind", ["data.tar", "data.zip"])
def test_folders_are_no_images_whatever_their_name(tmp_path: Path, kind: str) -> None:
    if kind == "data.zip":
        with zipfile.ZipFile(tmp_path / kind, "w") as zipped:
            zipped.mkdir("a.png")
            zipped.writestr("a.png/x.png", b"1")
    else:
        with tarfile.open(tmp_path / kind, "w") as file:
            folder, member = tarfile.TarInfo("a.png"), tarfile.TarInfo("a.png/x.png")
            folder.type, member.size = tarfile.DIRTYPE, 1
            file.addfile(folder)
            file.addfile(member, io.BytesIO(b"1"))
    assert list(read_images(tmp_path / kind)) == [("a.png/x.png", b"1")]


@pytest.mark.parametrize(("kind", "is_refused"), [(0o100644, False), (0o020644, True), (0o140644, True)])
def test_a_device_in_a_zip_is_refused(tmp_path: Path, kind: int, is_refused: bool) -> None:
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as file:
        member = zipfile.ZipInfo("x.png")
        member.external_attr = kind << 16 | 0x20
        file.writestr(member, b"1")
    if is_refused:
        with pytest.raises(DataError, match=r"data\.zip, member .*x\.png.*link or device"):
            list(read_images(tmp_path / "data.zip"))
    else:
        assert list(read_images(tmp_path / "data.zip")) == [("x.png", b"1")]


def changed_in_both_headers(path: Path, offset: int, value: int) -> None:
    """A field of a zip's one member, at this offset in its local header and 2 later in the central one."""
    whole = bytearray(path.read_bytes())
    whole[offset] = value
    whole[whole.index(b"PK\1\2") + offset + 2] = value
    path.write_bytes(whole)


def test_an_encrypted_member_of_a_zip_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "data.zip", {"x.png": b"1"})
    changed_in_both_headers(path, 6, 1)
    with pytest.raises(DataError, match=r"x\.png.*encrypted"):
        list(read_images(path))
    changed_in_both_headers(path, 6, 2)
    assert list(read_images(path)) == [("x.png", b"1")]


def test_a_stored_member_of_a_zip_is_read_and_one_that_is_shorter_than_it_says_is_damaged(
    tmp_path: Path,
) -> None:
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        file.writestr("x.png", b"123")
    assert list(read_images(path)) == [("x.png", b"123")]
    changed_in_both_headers(path, 22, 4)
    with pytest.raises(DataError, match=r"data\.zip is damaged: .*x\.png.* shorter than it says"):
        list(read_images(path))


@pytest.mark.parametrize("kind", ARCHIVES)
@pytest.mark.parametrize(
    ("name", "size", "limit", "named"),
    [
        ("../x.png", 1, "", "../x.png"),
        ("a/x.png", 1001, "MEMBER_LIMIT", "a/x.png"),
        ("a/x.png", 20_000, "TOTAL_LIMIT", ""),
        ("a/x.txt", 1, "COUNT_LIMIT", ""),
    ],
)
def test_a_refusal_names_the_archive_and_the_member(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, name: str, size: int, limit: str, named: str
) -> None:
    if limit:
        monkeypatch.setattr(
            archive, limit, {"MEMBER_LIMIT": 1000, "TOTAL_LIMIT": 15_000, "COUNT_LIMIT": 2}[limit]
        )
    with pytest.raises(DataError) as caught:
        read(tmp_path, kind, {"first.txt": b"", "second.txt": b"", name: bytes(size)})
    assert f"{tmp_path / kind}{', member' if named else ': refused'}" in caught.value.message
    assert named in caught.value.message
    assert caught.value.hint


def test_damage_is_told_with_its_cause(tmp_path: Path) -> None:
    (tmp_path / "data.zip").write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"data\.zip is damaged: .*not a zip file"):
        list(read_images(tmp_path / "data.zip"))
    whole = write_tgz(tmp_path / "data.tgz", FILES).read_bytes()
    (tmp_path / "data.tgz").write_bytes(whole[:60])
    with pytest.raises(DataError, match=r"data\.tgz is damaged: \w+"):
        list(read_images(tmp_path / "data.tgz"))


def test_a_folder_follows_links_to_files_and_none_to_folders(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "folder", {"a/x.png": b"1"})
    outside = write_folder(tmp_path / "outside", {"y.png": b"2", "deep/z.png": b"3"})
    (folder / "link.png").symlink_to(outside / "y.png")
    for number in range(5):
        (folder / f"dangling{number}.png").symlink_to(tmp_path / "none.png")
    (folder / "deep").symlink_to(outside / "deep")
    os.mkfifo(folder / "pipe.png")
    write_folder(folder, {f"{number}.png": b"33" for number in range(9)})  # some stand behind the dangling
    assert list(read_images(folder)) == [
        *((f"{number}.png", b"33") for number in range(9)),
        ("a/x.png", b"1"),
        ("link.png", b"2"),
    ]
    listed = {name: status.st_size for name, status in list_folder(folder)}
    assert listed == {f"{number}.png": 2 for number in range(9)} | {"a/x.png": 1, "link.png": 1}


def test_a_file_that_vanishes_from_a_folder_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "folder", {"x.png": b"1", "y.png": b"2"})
    images = read_images(folder)
    next(images)
    (folder / "y.png").unlink()
    with pytest.raises(DataError, match=r"cannot read .*y\.png"):
        next(images)


def test_a_folder_that_cannot_be_read_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read the folder .*none"):
        list(list_folder(tmp_path / "none"))


def test_an_archive_that_is_not_there_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read"):
        list(read_images(tmp_path / "none.tgz"))


def test_a_good_tar_can_be_read_by_others(tmp_path: Path) -> None:
    data = io.BytesIO(write_tgz(tmp_path / "data.tgz", FILES).read_bytes())
    with tarfile.open(fileobj=data) as file:
        assert file.getnames() == [name for name, _ in read_images(tmp_path / "data.tgz")]
