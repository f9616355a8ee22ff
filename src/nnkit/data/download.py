"""Downloads on request: from the first mirror whose file has the right checksum."""

from __future__ import annotations

import hashlib
import os
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO

from nnkit.errors import DataError

CHUNK = 1 << 20
LIMIT = 1 << 30
"""No dataset that nnkit fetches is larger; a mirror that sends more is broken."""

TIMEOUT_S = 30


def offline() -> bool:
    """Whether NNKIT_OFFLINE forbids to open a socket; empty and 0 do not."""
    return os.environ.get("NNKIT_OFFLINE", "") not in ("", "0")


def download_hint(folder: Path, files: str, *, can_download: bool = True) -> str:
    """What to do about a dataset that is missing from `folder`; some cannot be downloaded from anywhere."""
    how = " (NNKIT_OFFLINE forbids a download)" if offline() else ", or run again with --download"
    how = how if can_download else ""
    return f"put {files} into {folder}{how}; --data-root or NNKIT_DATA names another data root"


@contextmanager
def downloaded(urls: Sequence[str], md5: str, folder: Path) -> Iterator[Path]:
    """A temporary file in `folder` that holds what one of `urls` gives, its md5 checked; removed at the end.

    The mirrors are tried in turn. `DataError` names the answer of each, with both checksums where they
    differ; no socket is opened while NNKIT_OFFLINE is set.
    """
    if offline():
        raise DataError(f"{urls[0]} is not fetched: NNKIT_OFFLINE is set", hint=f"put it into {folder}")
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".download-", dir=folder)
    except OSError as error:
        raise DataError(
            f"cannot download into {folder}: {error.strerror or error}",
            hint="name a data root that can be written with --data-root or NNKIT_DATA",
        ) from None
    path = Path(name)
    try:
        with os.fdopen(handle, "w+b") as file:
            _fetch_first(urls, md5, file)
        yield path
    finally:
        path.unlink(missing_ok=True)
        with suppress(OSError):  # what came is there; else an empty folder would look like a dataset
            for empty in made:
                empty.rmdir()


def _fetch_first(urls: Sequence[str], md5: str, file: BinaryIO) -> None:
    failures = []
    for url in urls:
        file.seek(0)
        file.truncate()
        try:
            found = _fetch(url, file)
        except (OSError, HTTPException, ValueError) as error:
            failures.append(f"{url}: {error or type(error).__name__}")
            continue
        if found == md5:
            return
        failures.append(f"{url}: the md5 is {found}, it should be {md5}")
    lines = "".join(f"\n  {failure}" for failure in failures)
    raise DataError(f"the download failed:{lines}", hint="try again later, or put the file there by hand")


def _fetch(url: str, file: BinaryIO) -> str:
    """Write what the address gives and return its md5; `OSError` and `ValueError` as they come."""
    digest = hashlib.md5(usedforsecurity=False)
    size = 0
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
        while chunk := answer.read(CHUNK):
            size += len(chunk)
            if size > LIMIT:
                raise ValueError(f"it sends more than {LIMIT >> 20} MiB")
            digest.update(chunk)
            file.write(chunk)
    file.flush()
    return digest.hexdigest()
