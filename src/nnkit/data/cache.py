"""Decoded data kept between runs: tensors in a file named by what they were made from.

Damaged entries are computed again; entries that cannot be written are computed each time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from nnkit import files
from nnkit.data import tensor_files
from nnkit.data.archive import list_folder
from nnkit.data.cache_files import Kind, digest, memo_path, read_memo, tensors_path
from nnkit.errors import DataError

logger = logging.getLogger("nnkit")

FORMAT_VERSION = 4
"""Part of every key: raise it when what is stored, or how it is decoded, changes."""

Tensors = Mapping[str, Tensor]

_SETTLED_NS = 2_000_000_000


def cached(
    folder: Path,
    name: str,
    parts: Mapping[str, Any],
    make: Callable[[], Tensors],
    *,
    source: Path | None = None,
    kind: Kind = "tensors",
) -> Tensors:
    """The tensors that `make` gives, from the cache where they are there and sound.

    `parts` are JSON values that say what they are made from; `name` begins the file's name, for people, and
    `nnkit cache list` shows `source` and `kind`. A file's time of change is when it was last used. A checksum
    covers names, shapes, types and bytes. One warning where a damaged file is replaced or where `folder`
    cannot be written; never an error of the cache's own.
    """
    key = _key(parts)
    path = tensors_path(folder, name, key)
    files.remove_stale_files(folder)
    damaged = False
    try:
        tensors = _read(path, key)
        _mark_used(path)
        return tensors
    except FileNotFoundError:
        pass
    except Exception as error:  # whatever a damaged file makes the readers raise
        damaged = True
        logger.warning("the cache %s is damaged (%s): made anew", path, error or type(error).__name__)
    tensors = make()
    try:
        about = {"source": None if source is None else str(source.resolve()), "kind": kind, "made": _now()}
        tensor_files.save(path, tensors, {"key": key, **about})
    except Exception as error:
        if not damaged:
            logger.warning("nothing is cached, %s cannot be written: %s", folder, error)
    return tensors


def fingerprint(path: Path, folder: Path) -> str:
    """A hexadecimal fingerprint of the state of an archive or folder.

    An archive's sha256, remembered in `folder` by path, size and time of change; of a folder, the names,
    sizes and times of its image files. `DataError` where it cannot be read.
    """
    if path.is_dir():
        state = hashlib.sha256(str(path.resolve()).encode(errors="surrogateescape"))
        for name, status in list_folder(path):
            state.update(f"\0{name}\0{status.st_size}\0{status.st_mtime_ns}".encode(errors="surrogateescape"))
        return state.hexdigest()
    try:
        return _remembered_sha256(path, folder)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None


def _key(parts: Mapping[str, Any]) -> str:
    text = json.dumps({**parts, "format": FORMAT_VERSION}, sort_keys=True)
    return digest(text)


def _read(path: Path, key: str) -> Tensors:
    tensors, header = tensor_files.read(path)
    if header.get("key") != key:
        raise ValueError("it was made from something else")
    return tensors


def _remembered_sha256(path: Path, folder: Path) -> str:
    """The file's sha256; a changed size or time means that it is read again."""
    status = path.stat()
    where = str(path.resolve())
    state = [where, status.st_size, status.st_mtime_ns]
    memo = memo_path(folder, where)
    known = read_memo(memo)
    if known.get("state") == state and re.fullmatch("[0-9a-f]{64}", str(known.get("sha256"))):
        _mark_used(memo)
        return str(known["sha256"])
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    # A file written a moment ago may change again within the clock's tick, unseen.
    if time.time_ns() - status.st_mtime_ns > _SETTLED_NS:
        text = json.dumps({"state": state, "sha256": sha256, "made": _now()})
        with contextlib.suppress(OSError):  # the tensors' file meets the same folder and warns
            folder.mkdir(parents=True, exist_ok=True)
            files.write_text(memo, text)
    return sha256


def _mark_used(path: Path) -> None:
    """A time of access would do, but many file systems do not keep it."""
    with contextlib.suppress(OSError):  # a cache that others share may be theirs alone to write
        os.utime(path)


def _now() -> int:
    return time.time_ns() // 10**9
