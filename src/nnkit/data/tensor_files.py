"""Tensors in safetensors files, replaced atomically, with JSON beside them and checksums over both.

The same tensors and header give the same bytes. safetensors itself has no checksum.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from nnkit import files
from nnkit.data import tensor_headers


def save(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Replace a file of tensors on the CPU that share no memory, with a JSON header; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    metadata = tensor_headers.pack(header, _checksum(contiguous))
    with files.replacing(path) as temporary:
        try:
            save_file(contiguous, temporary, metadata)
        except SafetensorError as error:
            raise tensor_headers.as_os_error(error) from error


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the header of a file; `ValueError` where it is damaged, `OSError` without it."""
    header, checksum = tensor_headers.read(path)
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
    except (SafetensorError, RuntimeError) as error:
        raise tensor_headers.unreadable(path, error) from None
    if checksum != _checksum(tensors):
        raise ValueError("its checksum is wrong")
    return tensors, header


def read_header(path: Path) -> dict[str, Any]:
    """The header of a file alone: its tensors are not read; errors as in `read`."""
    return tensor_headers.read(path)[0]


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    """CRC-32 over all names, types, shapes and bytes. About 1 GB/s."""
    checksum = 0
    for name, tensor in sorted(tensors.items()):
        checksum = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode(), checksum)
        if tensor.numel():  # an empty one from NumPy may have strides that have no view as bytes
            checksum = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, checksum)
    return f"{checksum:08x}"
