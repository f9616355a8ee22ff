"""The JSON header of nnkit's safetensors files, with the checksums of itself and of the tensors. No torch."""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from nnkit import files

_KEY = "nnkit"


def pack(header: Mapping[str, Any], tensors: str) -> dict[str, str]:
    """The header as safetensors holds it, with the checksum of the tensors."""
    text = json.dumps(files.strict(header), allow_nan=False)  # ASCII: a name may hold half a character
    # One key: safetensors writes several in random order.
    return {_KEY: f"{_checksum(text)} {tensors} {text}"}


def read(path: Path) -> tuple[dict[str, Any], str]:
    """The header of a file, and the checksum that its tensors should have; they are not looked at.

    `ValueError` where the header is damaged or not nnkit's, `OSError` without the file.
    """
    path.stat()  # a missing file is told apart from a damaged one
    try:
        with safe_open(path, "numpy") as file:
            words = (file.metadata() or {}).get(_KEY, "").split(" ", 2)
    except (SafetensorError, RuntimeError) as error:
        raise unreadable(path, error) from None
    if len(words) != 3 or words[0] != _checksum(words[2]):
        raise ValueError("its header is not nnkit's, or was changed")
    header = json.loads(words[2])
    if not isinstance(header, dict):
        raise ValueError("its header is no table")
    return header, words[1]


def as_os_error(error: Exception) -> OSError:
    """What the system said, which safetensors hands on as text: "No space left on device (os error 28)"."""
    code = re.search(r"os error (\d+)", str(error))
    return OSError(int(code[1]), os.strerror(int(code[1]))) if code else OSError(str(error))


def unreadable(path: Path, error: Exception) -> Exception:
    """`OSError` where it is the system that refuses, `ValueError` where the file is damaged."""
    refused = as_os_error(error)
    if refused.errno is not None and not files.is_damage(refused):
        return OSError(refused.errno, refused.strerror, str(path))
    return ValueError(str(error) or type(error).__name__)


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode('utf-8')):08x}"
