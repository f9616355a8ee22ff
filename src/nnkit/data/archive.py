"""Image files read from a folder or an untrusted archive, in memory: nothing is unpacked to disk.

An archive may come from anywhere. Names that point outside, links, devices and members or totals beyond a
limit are refused with the member's name; what does not decompress is damaged, never a traceback.
"""

from __future__ import annotations

import gzip
import os
import re
import stat
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, BinaryIO

from nnkit.errors import DataError, quote

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm"}
)
ARCHIVE_SUFFIXES = (".tgz", ".tar.gz", ".tar", ".zip")

MEMBER_LIMIT = 64 << 20
"""Bytes of one member or file, unpacked."""

TOTAL_LIMIT = 8 << 30
"""Bytes of a whole archive, unpacked."""

COUNT_LIMIT = 2_000_000
"""Members of an archive: bounds the time spent on an archive of empty ones."""

HEADER_LIMIT = 1 << 20
"""Bytes of one read of a tar header; a long name beyond it is an attack on the memory."""

AGAIN = "get the archive again"

_BLOCK = 512
_END = bytes(_BLOCK)
_RECORD = 22
"""Bytes of the last record of a zip, without the comment that may follow."""
_MANY = 0xFFFF
"""A count of members that stands elsewhere, and the longest comment."""


def is_archive(path: Path) -> bool:
    """Whether the name is that of an archive that can be read: .tgz, .tar.gz, .tar or .zip."""
    return path.name.lower().endswith(ARCHIVE_SUFFIXES)


def read_images(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each image file in a folder or archive, names with slashes, relative to it.

    Files are taken by their suffix; hidden ones, and all in hidden folders, are left out. A folder is read in
    sorted order, links to files followed and links to folders not; an archive in its own order. `DataError`
    for an archive that is damaged or holds what is refused, also where it is no image: after the images
    before it were given, so use none before the last came.
    """
    if path.is_dir():
        return _read_folder(path)
    if path.name.lower().endswith(".zip"):
        return _guarded(path, _read_zip(path))
    return _guarded(path, _read_tar(path))


def list_folder(path: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Relative name and status of each image file under a folder, in sorted order of the names."""
    found = []
    for folder, folders, files in os.walk(path, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not _wanted(name):
                continue
            file = Path(folder, name)
            try:
                status = file.stat()
            except OSError:  # a link to nothing
                continue
            if stat.S_ISREG(status.st_mode):
                found.append((file.relative_to(path).as_posix(), status))
    yield from sorted(found, key=lambda item: item[0])


def other_suffixes(path: Path) -> Mapping[str, int]:
    """How many files in the folders under a folder are no images by their names, by suffix, most first.

    Hidden ones, and those in the folder itself, are not counted.
    """
    counts: Counter[str] = Counter()
    for folder, folders, files in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if Path(folder) != path:
            visible = (name for name in files if not name.startswith("."))
            counts.update(Path(name).suffix.lower() for name in visible if not _wanted(name))
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _raise(error: OSError) -> None:
    raise DataError(f"cannot read the folder {error.filename}: {error.strerror}") from None


def _read_folder(path: Path) -> Iterator[tuple[str, bytes]]:
    for name, status in list_folder(path):
        if status.st_size > MEMBER_LIMIT:
            raise DataError(f"{path / name} has more than {MEMBER_LIMIT >> 20} MiB", hint="remove it")
        try:
            yield name, (path / name).read_bytes()
        except OSError as error:
            raise DataError(f"cannot read {path / name}: {error.strerror or error}") from None


def _guarded(path: Path, images: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """The images of an archive, with whatever its readers raise made into a `DataError`."""
    try:
        yield from images
    except DataError:
        raise
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None
    except Exception as error:
        # On damaged bytes tarfile, zipfile and zlib raise a dozen kinds, from struct.error to RecursionError.
        cause = (str(error) or type(error).__name__)[:200]  # zipfile quotes whole names, of any length
        raise DataError(
            f"{path} is damaged: {cause}", hint="get it again; compare its size with the original's"
        ) from None


def _read_zip(path: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len(members) > COUNT_LIMIT:
            raise _refused(path, "", f"it holds more than {COUNT_LIMIT:,} members")
        if (count := _zip_count(path)) not in (_MANY, len(members) & _MANY):
            raise DataError(
                f"{path} is damaged: it lists {len(members)} members and says {count}", hint=AGAIN
            )
        total = 0
        for member in members:
            name = _checked_name(path, member.filename)
            total = _checked_size(path, member.filename, member.file_size, total)
            _check_zip_kind(path, member)
            if not member.is_dir() and name is not None:
                yield name, _unzip(path, archive, member)
            else:  # the list has no checksum: a damaged name that is no image's differs from the member's own
                archive.open(member).close()


def _zip_count(path: Path) -> int:
    """How many members a zip says that it lists, in its last record: a damaged list may swallow some."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _RECORD - _MANY))
        tail = stream.read()
    at = tail.rfind(b"PK\5\6") + 10
    return int.from_bytes(tail[at : at + 2], "little")


def _check_zip_kind(path: Path, member: zipfile.ZipInfo) -> None:
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _refused(path, member.filename, "it is a link or device")
    if member.flag_bits & 1:
        raise _refused(path, member.filename, "it is encrypted")
    # Only for these does zipfile bound what one read unpacks; a kilobyte of bzip2 can hold gigabytes.
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _refused(path, member.filename, "it is neither stored nor deflated")


def _unzip(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    with archive.open(member) as stream:
        data = stream.read(MEMBER_LIMIT + 1)
    if len(data) != member.file_size:
        raise DataError(f"{path} is damaged: {quote(member.filename)} is shorter than it says")
    return data


class _Reader:
    """The stream that tarfile reads, with bounds on each read and on the whole; remembers the last block."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self._stream = stream
        self._path = path
        self.last = b""

    def tell(self) -> int:
        return self._stream.tell()

    def seek(self, offset: int) -> int:
        self._check(offset)
        return self._stream.seek(offset)

    def read(self, size: int) -> bytes:
        if not 0 <= size <= HEADER_LIMIT:
            raise _refused(self._path, "", "a header is too large")
        self._check(self.tell() + size)
        self.last = self._stream.read(size)
        return self.last

    def data(self, offset: int, size: int) -> bytes:
        self.seek(offset)
        return self._stream.read(size)

    def drain(self) -> None:
        """Read to the end, so that the checksum at its end is verified."""
        while self._stream.read(HEADER_LIMIT):
            self._check(self.tell())

    def _check(self, end: int) -> None:
        if not 0 <= end <= TOTAL_LIMIT:
            raise _refused(self._path, "", f"it unpacks to more than {TOTAL_LIMIT >> 30} GiB")


def _open_tar(path: Path) -> BinaryIO:
    plain = path.name.lower().endswith(".tar")
    return path.open("rb") if plain else gzip.open(path)  # type: ignore[return-value]


def _read_tar(path: Path) -> Iterator[tuple[str, bytes]]:
    with _open_tar(path) as stream:
        reader = _Reader(stream, path)
        archive = tarfile.TarFile(fileobj=reader, mode="r")  # type: ignore[arg-type]
        count = 0
        while (member := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # else it keeps every header
            count += 1
            if count > COUNT_LIMIT:
                raise _refused(path, "", f"it holds more than {COUNT_LIMIT:,} members")
            name = _checked_name(path, member.name)
            _checked_size(path, member.name, member.size, 0)
            if not (member.isreg() or member.isdir()):
                raise _refused(path, member.name, "it is a link or device")
            if member.issparse():
                raise _refused(path, member.name, "it is a sparse file")
            if member.isreg() and name is not None:
                data = reader.data(member.offset_data, member.size)
                if len(data) != member.size:
                    raise DataError(f"{path} is damaged: it ends within {quote(member.name)}", hint=AGAIN)
                yield name, data
        # tarfile takes a broken header for the end; the true end is a block of zeros.
        if reader.last != _END:
            raise DataError(f"{path} is damaged: it breaks off after {count} members", hint=AGAIN)
        reader.drain()


def _checked_name(path: Path, name: str) -> str | None:
    """The member's name with slashes, None where it is no image; `DataError` where it points outside."""
    parts = re.split(r"[/\\]", name)
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name):
        raise _refused(path, name, "its name is an absolute path")
    if ".." in parts:
        raise _refused(path, name, "its name points outside with ..")
    if "\0" in name:
        raise _refused(path, name, "its name holds a NUL")
    parts = [part for part in parts if part not in ("", ".")]
    if not parts or any(part.startswith(".") for part in parts) or not _wanted(parts[-1]):
        return None
    return "/".join(parts)


def _wanted(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def _checked_size(path: Path, name: str, size: int, total: int) -> int:
    if not 0 <= size <= MEMBER_LIMIT:
        raise _refused(path, name, f"it unpacks to more than {MEMBER_LIMIT >> 20} MiB")
    if total + size > TOTAL_LIMIT:
        raise _refused(path, "", f"it unpacks to more than {TOTAL_LIMIT >> 30} GiB")
    return total + size


def _refused(path: Path, name: str, why: str) -> DataError:
    member = f", member {quote(name)}" if name else ""
    return DataError(f"{path}{member}: refused, {why}", hint="make the archive anew from image files alone")
