"""Decoded data kept between runs: tensors in a file named by what they were made from.

A cache can only save time. What is damaged is made anew, what cannot be written is made each time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import secrets
import socket
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from nnkit.data.archive import list_folder
from nnkit.errors import DataError

logger = logging.getLogger("nnkit")

FORMAT_VERSION = 1
"""Part of every key: raise it when what is stored, or how it is decoded, changes."""

Tensors = Mapping[str, Tensor]

_SETTLED_NS = 2_000_000_000
_STRAY_S = 86_400


def cached(folder: Path, name: str, parts: Mapping[str, Any], make: Callable[[], Tensors]) -> Tensors:
    """The tensors that `make` gives, from the cache where they are there and sound.

    `parts` are JSON values that say what they are made from; `name` begins the file's name, for people. A
    checksum covers names, shapes, types and bytes. One warning where a damaged file is made anew or where
    `folder` cannot be written; never an error of the cache's own.
    """
    key = _key(parts)
    path = folder / f"{_readable(name)}-{key[:24]}.safetensors"
    _remove_strays(folder)
    damaged = False
    try:
        return _read(path, key)
    except FileNotFoundError:
        pass
    except Exception as error:  # whatever a damaged file makes the readers raise
        damaged = True
        logger.warning("the cache %s is damaged (%s): made anew", path, error or type(error).__name__)
    tensors = make()
    try:
        write_atomically(path, lambda temporary: _save(tensors, temporary, key))
    except Exception as error:
        if not damaged:
            logger.warning("nothing is cached, %s cannot be written: %s", folder, error)
    return tensors


def fingerprint(path: Path, folder: Path) -> str:
    """What tells one state of an archive or folder from another, in hexadecimal digits.

    An archive's sha256, remembered in `folder` by path, size and time of change; of a folder, the names,
    sizes and times of its image files. `DataError` where it cannot be read.
    """
    if path.is_dir():
        digest = hashlib.sha256(str(path.resolve()).encode(errors="surrogateescape"))
        for name, status in list_folder(path):
            digest.update(
                f"\0{name}\0{status.st_size}\0{status.st_mtime_ns}".encode(errors="surrogateescape")
            )
        return digest.hexdigest()
    try:
        return _remembered_sha256(path, folder)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, then give it that name; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{secrets.token_hex(4)}.{_host()}.{os.getpid()}.tmp"
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def _key(parts: Mapping[str, Any]) -> str:
    text = json.dumps({**parts, "format": FORMAT_VERSION}, sort_keys=True)
    return _digest(text)


def _readable(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:40] or "data"


def _save(tensors: Tensors, path: Path, key: str) -> None:
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    metadata = {"key": key, "checksum": str(_checksum(contiguous))}
    safetensors.torch.save_file(contiguous, path, metadata)


def _read(path: Path, key: str) -> dict[str, Tensor]:
    path.stat()  # a missing file is told apart from a damaged one
    with safetensors.safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
    if metadata.get("key") != key:
        raise ValueError("it was made from something else")
    if metadata.get("checksum") != str(_checksum(tensors)):
        raise ValueError("its checksum is wrong")
    return tensors


def _checksum(tensors: Tensors) -> int:
    """CRC-32 over all names, types, shapes and bytes; safetensors itself has none. About 1 GB/s."""
    checksum = 0
    for name, tensor in sorted(tensors.items()):
        checksum = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode(), checksum)
        checksum = zlib.crc32(memoryview(tensor.reshape(-1).numpy().data).cast("B"), checksum)
    return checksum


def _remembered_sha256(path: Path, folder: Path) -> str:
    """The file's sha256; a changed size or time means that it is read again."""
    status = path.stat()
    where = str(path.resolve())
    state = [where, status.st_size, status.st_mtime_ns]
    memo = folder / f"sha256-{_digest(where)[:24]}.json"
    known = _read_memo(memo)
    if known.get("state") == state and re.fullmatch("[0-9a-f]{64}", str(known.get("sha256"))):
        return str(known["sha256"])
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    # A file written a moment ago may change again within the clock's tick, unseen.
    if time.time_ns() - status.st_mtime_ns > _SETTLED_NS:
        text = json.dumps({"state": state, "sha256": sha256})
        with contextlib.suppress(OSError):  # the tensors' file meets the same folder and warns
            write_atomically(memo, lambda temporary: _write_text(temporary, text))
    return sha256


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _read_memo(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def _host() -> str:
    return _digest(socket.gethostname())[:12]


def _remove_strays(folder: Path) -> None:
    """Remove temporary files of processes that are gone, and old ones of other hosts."""
    try:
        for path in folder.glob(".*.tmp"):
            match = re.fullmatch(r"\.[0-9a-f]+\.([0-9a-f]+)\.([0-9]+)\.tmp", path.name)
            if match and _is_stray(path, match[1], int(match[2])):
                path.unlink(missing_ok=True)
    except OSError:
        pass  # a folder that cannot be read or written is told of when it is written to


def _is_stray(path: Path, host: str, process: int) -> bool:
    if host != _host():
        return time.time() - path.stat().st_mtime > _STRAY_S
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False
