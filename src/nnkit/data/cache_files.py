"""The files of the cache of decoded data: their names, and what each says of itself. No torch.

Only what nnkit wrote is listed. A name alone does not make a file nnkit's: the folder may hold other things.
"""

from __future__ import annotations

import hashlib
import json
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nnkit import files
from nnkit.data import tensor_headers

Kind = Literal["images", "headers", "counts", "checksum", "tensors", "temporary", "damaged"]
"""What a file holds: decoded images; the sizes of images that stay in their files; how often each 8-bit value
occurs; an archive's sha256; tensors of which an earlier nnkit said no more; what a killed process left; or it
is damaged."""

_OF_TENSORS: tuple[Kind, ...] = ("images", "headers", "counts", "tensors")

MEMO_LIMIT = 1 << 16
"""No file with an archive's sha256 has more bytes."""

_TENSORS = re.compile(r"[A-Za-z0-9_-]{1,40}-([0-9a-f]{24})\.safetensors")
_MEMO = re.compile(r"sha256-([0-9a-f]{24})\.json")


@dataclass(frozen=True)
class CacheFile:
    """A file of the cache.

    `source` is the path of what it was made from, None where it does not say. `made` and `used` are in
    seconds since 1970; `used` is when it was last read, as far as the folder could be written then.
    """

    path: Path
    kind: Kind
    source: str | None
    bytes: int
    made: float | None
    used: float


def digest(text: str) -> str:
    """The sha256 of a text, which may hold half a character as a path may."""
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def tensors_path(folder: Path, name: str, key: str) -> Path:
    """Where the tensors of a key are; `name` begins the file's name, for people."""
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:40] or "data"
    return folder / f"{readable}-{key[:24]}.safetensors"


def memo_path(folder: Path, archive: str) -> Path:
    """Where the sha256 of the archive with this resolved path is remembered."""
    return folder / f"sha256-{digest(archive)[:24]}.json"


def read_memo(path: Path) -> dict[str, Any]:
    """What such a file says; an empty dict where it is damaged or missing."""
    try:
        known = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def cache_files(folder: Path) -> Iterator[CacheFile]:
    """The files of the cache in `folder`, sorted by name; none where there is no such folder.

    What is being written is left out. `OSError` where the folder cannot be read.
    """
    if not folder.exists():
        return
    for path in sorted(folder.iterdir()):
        try:
            status = path.lstat()
            found = _look(path, status.st_size) if stat.S_ISREG(status.st_mode) else None
        except OSError:  # another process removed it
            continue
        if found is not None:
            kind, about = found
            source, made = about.get("source"), about.get("made")
            yield CacheFile(
                path=path,
                kind=kind,
                source=source if isinstance(source, str) else None,
                bytes=status.st_size,
                made=float(made) if isinstance(made, int) and 0 <= made < 2**40 else None,
                used=status.st_mtime,
            )


def _look(path: Path, num_bytes: int) -> tuple[Kind, Mapping[str, Any]] | None:
    """What a file holds, and what it says of itself; None where it is not the cache's."""
    if files.is_stale(path):
        return "temporary", {}
    if name := _TENSORS.fullmatch(path.name):
        return _look_at_tensors(path, name[1])
    if name := _MEMO.fullmatch(path.name):
        return _look_at_memo(read_memo(path) if num_bytes <= MEMO_LIMIT else {}, name[1])
    return None


def _look_at_tensors(path: Path, name: str) -> tuple[Kind, Mapping[str, Any]] | None:
    try:
        header, _ = tensor_headers.read(path)
    except (ValueError, RecursionError):
        return "damaged", {}
    if not str(header.get("key")).startswith(name):
        return None
    return next((kind for kind in _OF_TENSORS if kind == header.get("kind")), "tensors"), header


def _look_at_memo(known: Mapping[str, Any], name: str) -> tuple[Kind, Mapping[str, Any]]:
    state = known.get("state")
    archive = state[0] if isinstance(state, list) and state else None
    if not isinstance(archive, str) or not digest(archive).startswith(name):
        return "damaged", {}
    return "checksum", {**known, "source": archive}
