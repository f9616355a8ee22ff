"""Keeps stdout for the result: output of plugins, libraries and their processes goes to stderr."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from typing import TextIO


@dataclass
class _Reserved:
    before: TextIO
    result: TextIO
    copy: int | None
    """A second descriptor of the real stdout, while descriptor 1 leads to stderr."""


_reserved: list[_Reserved] = []


def open_missing() -> None:
    """Where a stream was closed before the start (`>&-`), what is written to it goes nowhere."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115  # for the process's life


def reserve() -> None:
    """From here on only `result()` writes to stdout, until `release`."""
    if _reserved:
        return
    before, copy = sys.stdout, None
    result = before
    with contextlib.suppress(OSError, ValueError):  # a stream without a descriptor, as tests have
        if before.fileno() == 1 and sys.stderr.fileno() == 2:
            before.flush()
            copy = os.dup(1)  # not inherited by processes that are started
            os.dup2(2, 1)
            result = open(copy, "w", encoding=before.encoding, errors=before.errors, closefd=False)  # noqa: SIM115
    _reserved.append(_Reserved(before, result, copy))
    sys.stdout = sys.stderr


def result() -> TextIO:
    """Where a command prints its result."""
    return _reserved[0].result if _reserved else sys.stdout


def release() -> None:
    """Restore stdout."""
    while _reserved:
        it = _reserved.pop()
        sys.stdout = it.before
        if it.copy is not None:
            os.dup2(it.copy, 1)
            os.close(it.copy)
