"""Tensors in safetensors files, replaced atomically, with JSON beside them and checksums over both.

The same tensors and header give the same bytes. safetensors itself has no checksum.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from nnkit import files

_KEY = "nnkit"


def save(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Replace a file of tensors on the CPU that share no memory, with a JSON header; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    text = json.dumps(files.strict(header), allow_nan=False)  # ASCII: a name may hold half a character
    # One key: safetensors writes several in random order.
    metadata = {_KEY: f"{_of_text(text):08x} {_of_tensors(contiguous):08x} {text}"}
    with files.replacing(path) as temporary:
        try:
            save_file(contiguous, temporary, metadata)
        except SafetensorError as error:
            raise _as_os_error(error) from error


def _as_os_error(error: Exception) -> OSError:
    """What the system said, which safetensors hands on as text: "No space left on device (os error 28)"."""
    code = re.search(r"os error (\d+)", str(error))
    return OSError(int(code[1]), os.strerror(int(code[1]))) if code else OSError(str(error))


def _unreadable(path: Path, error: Exception) -> Exception:
    """`OSError` where it is the system that refuses, `ValueError` where the file is damaged."""
    refused = _as_os_error(error)
    if refused.errno is not None and not files.is_damage(refused):
        return OSError(refused.errno, refused.strerror, str(path))
    return ValueError(str(error) or type(error).__name__)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the header of a file; `ValueError` where it is damaged, `OSError` without it."""
    header, checksum = _header(path)
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
    except (SafetensorError, RuntimeError) as error:
        raise _unreadable(path, error) from None
    if checksum != f"{_of_tensors(tensors):08x}":
        raise ValueError("its checksum is wrong")
    return tensors, header


def read_header(path: Path) -> dict[str, Any]:
    """The header of a file alone: its tensors are not read; errors as in `read`."""
    return _header(path)[0]


def _header(path: Path) -> tuple[dict[str, Any], str]:
    """The header, and the checksum that the tensors should have."""
    path.stat()  # a missing file is told apart from a damaged one
    try:
        with safe_open(path, "pt") as file:
            words = (file.metadata() or {}).get(_KEY, "").split(" ", 2)
    except (SafetensorError, RuntimeError) as error:
        raise _unreadable(path, error) from None
    if len(words) != 3 or words[0] != f"{_of_text(words[2]):08x}":
        raise ValueError("its header is not nnkit's, or was changed")
    header = json.loads(words[2])
    if not isinstance(header, dict):
        raise ValueError("its header is no table")
    return header, words[1]


def _of_text(text: str) -> int:
    return zlib.crc32(text.encode("utf-8"))


def _of_tensors(tensors: Mapping[str, Tensor]) -> int:
    """CRC-32 over all names, types, shapes and bytes. About 1 GB/s."""
    checksum = 0
    for name, tensor in sorted(tensors.items()):
        checksum = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode(), checksum)
        if tensor.numel():  # an empty one from NumPy may have strides that have no view as bytes
            checksum = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, checksum)
    return checksum
