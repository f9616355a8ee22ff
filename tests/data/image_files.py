"""Image files and archives that tests make."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def encoded(pixels: np.ndarray, kind: str = "PNG", mode: str | None = None) -> bytes:
    stream = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(stream, kind)
    return stream.getvalue()


def random_png(seed: int, height: int = 8, width: int = 8, *, colour: bool = False) -> bytes:
    shape = (height, width, 3) if colour else (height, width)
    return encoded(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))


def write_tgz(path: Path, files: Mapping[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def write_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def write_folder(path: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Cut off, some bytes changed, or a stretch overwritten."""
    kind = int(rng.integers(3))
    if kind == 0:
        return data[: int(rng.integers(len(data)))]
    changed = bytearray(data)
    if kind == 1:
        for at in rng.integers(0, len(data), int(rng.integers(1, 8))):
            changed[at] ^= 1 << int(rng.integers(8))
    else:
        start = int(rng.integers(len(data)))
        changed[start : start + 64] = rng.bytes(len(changed[start : start + 64]))
    return bytes(changed)
