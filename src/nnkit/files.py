"""Files that are replaced atomically: readers see the old content or the new, never a part.

Each is on the disk before its name is, and the name before the call returns: what a loss of power leaves is
whole, too.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from nnkit.errors import WriteError

_TEMPORARY = re.compile(r"\.[0-9a-f]+\.([0-9a-f]+)\.([0-9]+)\.tmp")
_STALE_S = 86_400
_LOADED = time.time()
"""When this process began, by the clock of then: what it writes itself is younger, whatever is set later."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes `path`'s place, on failure it goes.

    What the system refuses, as on a full disk, is a `WriteError`.
    """
    temporary = temporary_in(path.parent)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())  # safetensors makes files that no other user may read
        _sync(temporary)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and not isinstance(error, WriteError):
            raise _explained(path, error) from error
        raise


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it is renamed to `path`, on failure it goes.

    `path` must not be there yet. What the system refuses is a `WriteError`.
    """
    temporary = temporary_in(path.parent)
    try:
        temporary.mkdir()
        yield temporary
        sync_folder(temporary)
        os.rename(temporary, path)
        sync_folder(path.parent)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError):  # of a file within, too: its name goes with the folder's
            raise _explained(path, error) from error
        raise


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """What the system refuses within the block, in words on `path`: a `WriteError`."""
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        raise _explained(path, error) from error


def _sync(path: Path) -> None:
    """Bring a file's content to the disk."""
    descriptor = os.open(path, os.O_RDWR)  # Windows refuses to flush what was opened to read
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Bring a folder's names to the disk, where the system can: Windows opens no folders."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def temporary_in(folder: Path) -> Path:
    """A name for a temporary file of this process; `remove_stale_files` knows it once the process is gone."""
    return folder / f".{secrets.token_hex(4)}.{host()}.{os.getpid()}.tmp"


def _explained(path: Path, error: OSError) -> WriteError:
    """The error with the file, the space that is free, and what is left of the file's content."""
    message = f"{path} cannot be written: {error.strerror or error}"
    with contextlib.suppress(OSError):
        message += f" ({shutil.disk_usage(path.parent).free / 2**20:,.0f} MiB are free there)"
    kept = "what it held before is kept" if path.exists() else "nothing of it is left"
    return WriteError(message, error, hint=f"{kept}; make room, or write to another place")


def is_damage(error: OSError) -> bool:
    """Whether a file that cannot be read will not be readable later either: it is gone, or the disk failed.

    Too many open files, too little memory and missing permissions say nothing of the file.
    """
    return error.errno in (None, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EIO)


def remove_stale_files(folder: Path) -> None:
    """Remove temporary files and folders of killed processes from `folder`, and all that are a day old."""
    with contextlib.suppress(OSError):  # a folder that cannot be read or written fails when it is used
        for path in folder.glob(".*.tmp"):
            with contextlib.suppress(OSError):  # another process may remove it first
                if is_stale(path):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _umask() -> int:
    mask = os.umask(0o022)  # it can only be read by setting it
    os.umask(mask)
    return mask


def is_temporary(path: Path) -> bool:
    """Whether the name is one that `replacing` gives to a temporary file."""
    return _TEMPORARY.fullmatch(path.name) is not None


def is_stale(path: Path) -> bool:
    """Whether this is a temporary file whose process is gone, or one that is a day old."""
    match = _TEMPORARY.fullmatch(path.name)
    return match is not None and _is_stale(path, match[1], int(match[2]))


def host() -> str:
    """Twelve hexadecimal digits that identify this host in the names of temporary files."""
    return hashlib.sha256(socket.gethostname().encode(errors="surrogateescape")).hexdigest()[:12]


def _is_stale(path: Path, maker_host: str, maker: int) -> bool:
    written = path.stat().st_mtime
    is_old = time.time() - written > _STALE_S
    if maker_host != host():
        return is_old
    try:
        os.kill(maker, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return is_old
    # Another process may have the number by now: one that began after the file was written.
    return is_old and _began(maker) > written


def _began(process: int) -> float:
    """When a process began, in seconds since 1970; later than all others where the system does not say."""
    if process == os.getpid():
        return _LOADED
    import psutil  # not at the top: few files are a day old

    try:
        return psutil.Process(process).create_time()
    except psutil.Error:
        return math.inf


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Replace a text file."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Replace a JSON file; values that are not finite become null."""
    write_text(path, dumps(value, indent=2) + "\n")


def dumps(value: object, *, indent: int | None = None) -> str:
    """Strict JSON: numbers that are not finite become null, paths and enums their text."""
    plain = strict(value)
    text = json.dumps(plain, indent=indent, allow_nan=False, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a character, as a damaged file may hold: JSON has an escape for it
        return json.dumps(plain, indent=indent, allow_nan=False)
    return text


def strict(value: Any) -> Any:
    """The value as strict JSON can hold it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [strict(item) for item in value]
    if isinstance(value, Enum):
        return strict(value.value)
    return str(value) if isinstance(value, Path) else value
