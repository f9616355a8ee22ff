"""Downloads on request: from the first mirror whose file has the right checksum."""

from __future__ import annotations

import hashlib
import os
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPException
from io import FileIO
from pathlib import Path

from nnkit import files
from nnkit.errors import DataError

CHUNK = 1 << 20
LIMIT = 1 << 30
"""No dataset that nnkit fetches is larger; a mirror that sends more is broken."""

TIMEOUT_S = 30.0
"""How long a mirror may be silent. From then on it must have sent SLOWEST bytes a second."""

SLOWEST = 1024
TRIES = 10


def offline() -> bool:
    """Whether NNKIT_OFFLINE forbids to open a socket; empty and 0 do not."""
    return os.environ.get("NNKIT_OFFLINE", "") not in ("", "0")


def download_hint(folder: Path, names: str, *, can_download: bool = True) -> str:
    """What to do about a dataset that is missing from `folder`; some cannot be downloaded from anywhere."""
    how = " (NNKIT_OFFLINE forbids a download)" if offline() else ", or run again with --download"
    how = how if can_download else ""
    return f"put {names} into {folder}{how}; --data-root or NNKIT_DATA names another data root"


@contextmanager
def downloaded(urls: Sequence[str], md5: str, folder: Path) -> Iterator[Path]:
    """A temporary file in `folder` that holds what one of `urls` gives, its md5 checked; removed at the end.

    The mirrors are tried in turn. `DataError` names the answer of each, with both checksums where they
    differ; no socket is opened while NNKIT_OFFLINE is set. What a killed process left in `folder` goes.
    """
    if offline():
        raise DataError(f"{urls[0]} is not fetched: NNKIT_OFFLINE is set", hint=f"put it into {folder}")
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    file = _create(folder)
    path = Path(file.name)
    try:
        with file:
            _fetch_first(urls, md5, file)
        yield path
    finally:
        path.unlink(missing_ok=True)
        with suppress(OSError):  # what came is there; else an empty folder would look like a dataset
            for empty in made:
                empty.rmdir()


def _create(folder: Path) -> FileIO:
    for remaining in reversed(range(TRIES)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            files.remove_stale_files(folder)
            return files.temporary_in(folder).open("xb", buffering=0)
        except OSError as error:
            # Another process whose download failed may remove the empty folder between the two.
            if isinstance(error, FileNotFoundError) and remaining:
                continue
            raise _cannot_write(folder, error) from None
    raise AssertionError("the last try returns or raises")


def _cannot_write(folder: Path, error: OSError) -> DataError:
    return DataError(
        f"cannot download into {folder}: {error.strerror or error}",
        hint="make room there, or name a data root that can be written with --data-root or NNKIT_DATA",
    )


def _fetch_first(urls: Sequence[str], md5: str, file: FileIO) -> None:
    failures = []
    for url in urls:
        file.seek(0)
        file.truncate()
        try:
            found, amount = _fetch(url, file)
        except (OSError, HTTPException, ValueError) as error:
            failures.append(f"{url}: {error or type(error).__name__}")
            continue
        if found == md5:
            return
        failures.append(f"{url}: it sent {amount} whose md5 is {found}, it should be {md5}")
    lines = "".join(f"\n  {failure}" for failure in failures)
    raise DataError(f"the download failed:{lines}", hint="try again later, or put the file there by hand")


def _fetch(url: str, file: FileIO) -> tuple[str, str]:
    """Write what the address gives; its md5, and how much it was: "20 of 100 bytes".

    `OSError`, `HTTPException` and `ValueError` as they come where the mirror fails, `DataError` where the
    file cannot be written.
    """
    digest = hashlib.md5(usedforsecurity=False)
    size, started = 0, time.monotonic()
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
        # read1 returns with what is there: read would wait for a whole chunk from a mirror that trickles.
        while chunk := answer.read1(CHUNK):
            size += len(chunk)
            seconds = time.monotonic() - started
            if size > LIMIT:
                raise ValueError(f"it sends more than {LIMIT >> 20} MiB")
            if seconds > TIMEOUT_S and size < SLOWEST * seconds:
                raise ValueError(f"it sends less than {SLOWEST:,} bytes a second")
            digest.update(chunk)
            _write(file, chunk)
        announced = answer.headers.get("Content-Length", "")
    of_all = f" of {int(announced):,}" if announced.isdecimal() and int(announced) != size else ""
    return digest.hexdigest(), f"{size:,}{of_all} bytes"


def _write(file: FileIO, chunk: bytes) -> None:
    rest = memoryview(chunk)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        raise _cannot_write(Path(file.name).parent, error) from None
