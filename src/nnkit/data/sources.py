"""A folder or archive of images as `Images` with their names: decoded and cached, or left in their files."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from nnkit.data.archive import ARCHIVE_SUFFIXES, is_archive, list_folder, read_images
from nnkit.data.cache import Tensors, cached, fingerprint
from nnkit.data.decode import (
    Channels,
    Packed,
    PixelBudget,
    Pixels,
    decode,
    read_header,
    to_channels,
)
from nnkit.data.images import Images
from nnkit.data.streaming import FileImages, ImageFiles
from nnkit.errors import DataError, NnkitError, UsageError, quote
from nnkit.types import Size

logger = logging.getLogger("nnkit")

BATCH, BATCH_BYTES = 512, 64 << 20
"""Files, and bytes of them, read before they are decoded: bounds what is packed in memory."""

GROUP, GROUP_BYTES = 64, 64 << 20
"""Images that are decoded together, where they take less than so much memory."""

MAX_GIB, DEFAULT_MAX_GIB = "NNKIT_MAX_IMAGES_GIB", 4.0
"""The variable that says how much memory the decoded images of a source may take, and what it is else."""

LARGER = f"set {MAX_GIB} to allow more; image-folder:in_memory=false reads a folder batch by batch"

LARGE_BYTES = 16_384
"""Decoding gains by threads only from about this file size on: Pillow's own Python part holds the lock."""

NUM_THREADS = 4
SHOWN = 10
KNOWN = ", ".join(ARCHIVE_SUFFIXES)


Store = TypeVar("Store", Images, FileImages, covariant=True)


@dataclass(frozen=True)
class Source(Generic[Store]):
    """Images with the names of their files, in sorted order of the names.

    `bad` has the name of each file that is no image, and what is wrong with it.
    """

    images: Store
    names: tuple[str, ...]
    bad: tuple[tuple[str, str], ...] = ()


def find_source(given: str | Path, root: Path) -> Path:
    """The folder or archive that a user named, looked for here and then in the data root.

    `UsageError` where it is not there or is something else.
    """
    for path in (Path(given).expanduser(), root / given):
        if path.exists():
            return _checked(path)
    raise UsageError(
        f"{given} is not there, neither in {Path.cwd()} nor in the data root {root}",
        hint="name a folder or archive of images",
    )


def _checked(path: Path) -> Path:
    if path.is_dir() or (path.is_file() and is_archive(path)):
        return path
    if path.is_file():
        raise UsageError(f"{path} is neither a folder nor an archive", hint=f"known: {KNOWN}")
    raise UsageError(f"{path} is no file", hint="name a folder or archive of images")


def load_source(
    path: Path, cache: Path, *, channels: Channels | None = None, missing: type[NnkitError] = DataError
) -> Source[Images]:
    """All images under `path`, a folder or archive; decoded once, then from `cache`.

    `channels` None: 1 when every image is grey, else 3. Files that are no image are left out, listed in
    `bad` and named in one warning. `DataError` for a damaged archive, and where no file is an image; the
    error `missing` where there is no image file at all.
    """
    parts = {"source": fingerprint(path, cache), "channels": channels}
    tensors = cached(
        cache,
        path.name,
        parts,
        lambda: _packed(_read(path, channels, missing)),
        source=path,
        kind="images",
    )
    source = _unpacked(tensors)
    _warn(path, source.bad)
    return source


def stream_source(
    path: Path,
    cache: Path,
    *,
    channels: Channels | None = None,
    num_workers: int = 0,
    missing: type[NnkitError] = DataError,
) -> Source[FileImages]:
    """All images under the folder `path`, left in their files: headers are read, once, then from `cache`.

    As `load_source`, but that a file whose header is sound and whose pixels are not is an error when it is
    read. With `channels` None, files stored as RGB are decoded until one is not grey. `UsageError` for an
    archive.
    """
    if not path.is_dir():
        raise UsageError(
            f"{path} is an archive: with in_memory=false the images are read from a folder",
            hint="unpack it and name the folder, or leave in_memory=false out",
        )
    state = fingerprint(path, cache)
    parts = {"headers": state, "channels": channels}
    index = cached(
        cache,
        f"{path.name}-headers",
        parts,
        lambda: _read_headers(path, channels, missing),
        source=path,
        kind="headers",
    )
    names, bad = json.loads(index["names"].numpy().tobytes())
    sizes = index["sizes"].numpy().astype(np.int64)
    wanted: Channels = 1 if int(index["channels"]) == 1 else 3
    files = ImageFiles(path, tuple(names), sizes, sizes, wanted)
    _warn(path, bad)
    images = FileImages(files, num_workers=num_workers, cache=cache, state=state)
    return Source(images, files.names, tuple((name, why) for name, why in bad))


def _read_headers(path: Path, channels: Channels | None, missing: type[NnkitError]) -> Tensors:
    names, sizes, maybe_colour, bad = [], [], [], []
    for name, _ in list_folder(path):
        try:
            size, is_grey = _header(path, name)
        except DataError as error:
            bad.append((name, error.message))
            continue
        names.append(name)
        sizes.append(size)
        if not is_grey:
            maybe_colour.append(name)
    _check_any(path, names, bad, missing)
    # any() stops at the first image in colour, which is mostly the first that is looked at.
    wanted = channels or (3 if any(_is_colour(path / name) for name in maybe_colour) else 1)
    return {
        "sizes": torch.tensor(sizes, dtype=torch.int32),
        "channels": torch.tensor(wanted),
        "names": _text_tensor([names, bad]),
    }


def _header(path: Path, name: str) -> tuple[Size, bool]:
    try:
        with (path / name).open("rb") as stream:
            return read_header(stream, name)
    except OSError as error:
        raise DataError(f"cannot read {path / name}: {error.strerror or error}") from None


def _is_colour(path: Path) -> bool:
    """Whether an image stored as RGB has a pixel that is not grey; a damaged one fails when it is read."""
    try:
        return len(decode(path.read_bytes(), path.name)) == 3
    except (DataError, OSError):
        return False


def _warn(path: Path, bad: Sequence[tuple[str, str]]) -> None:
    if bad:
        logger.warning("%s: %d bad image files are left out: %s", path, len(bad), _some(bad))


def _check_any(
    path: Path, good: Sequence[object], bad: Sequence[tuple[str, str]], missing: type[NnkitError]
) -> None:
    if not good and not bad:
        raise missing(f"{path} holds no image files", hint="put PNG or JPEG files there")
    if not good:
        raise DataError(f"{path} holds no image that can be read: {_some(bad)}", hint="replace them")


def _some(bad: Sequence[tuple[str, str]]) -> str:
    lines = [why for _, why in bad]
    more = f"; and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return "; ".join(lines[:SHOWN]) + more


def _read(path: Path, channels: Channels | None, missing: type[NnkitError]) -> Source[Images]:
    found: dict[str, Pixels | str] = {}
    budget = PixelBudget(str(path), _allowed_bytes(), LARGER)
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        for batch in _batches(read_images(path)):
            for name, result in _decoded(batch, channels, budget, pool):
                found[name] = result  # of members of one name the last one counts, as tar itself has it
    good = [(name, result) for name, result in found.items() if not isinstance(result, str)]
    bad = [(name, result) for name, result in found.items() if isinstance(result, str)]
    _check_any(path, good, bad, missing)
    good.sort(key=lambda item: item[0])
    wanted: Channels = 3 if any(len(pixels) == 3 for _, pixels in good) else 1
    images = Images.from_arrays([to_channels(pixels, wanted) for _, pixels in good])
    return Source(images, tuple(name for name, _ in good), tuple(sorted(bad)))


def _batches(files: Iterator[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    """The files by some hundred, fewer where they are large: so much is packed in memory at once."""
    batch: list[tuple[str, bytes]] = []
    num_bytes = 0
    for name, data in files:
        batch.append((name, data))
        num_bytes += len(data)
        if len(batch) == BATCH or num_bytes > BATCH_BYTES:
            yield batch
            batch, num_bytes = [], 0
    if batch:
        yield batch


def _allowed_bytes() -> int:
    given = os.environ.get(MAX_GIB)
    if not given:
        return int(DEFAULT_MAX_GIB * 2**30)
    try:
        gib = float(given)
    except ValueError:
        gib = -1
    if not 0 < gib < 2**20:
        raise UsageError(f"{MAX_GIB}={quote(given)}: expected a number of GiB above 0", hint="write 16")
    return int(gib * 2**30)


def _decoded(
    batch: Sequence[tuple[str, bytes]],
    channels: Channels | None,
    budget: PixelBudget,
    pool: ThreadPoolExecutor,
) -> Iterator[tuple[str, Pixels | str]]:
    """Each file's name with its pixels, or with what is wrong with it."""

    def one(item: tuple[str, Packed | str]) -> tuple[str, Pixels | str]:
        name, image = item
        try:
            return name, image if isinstance(image, str) else image.pixels(channels)
        except DataError as error:
            return name, error.message

    run = pool.map if sum(len(data) for _, data in batch) > LARGE_BYTES * len(batch) else map
    for group in _counted(batch, budget):
        yield from run(one, group)


def _counted(
    batch: Sequence[tuple[str, bytes]], budget: PixelBudget
) -> Iterator[list[tuple[str, Packed | str]]]:
    """The images by some dozen, their headers read and counted; of large ones all of the batch at once.

    So a batch that takes too much is refused before one of its large images is decoded. Small ones go on
    early: hundreds of open images cost a quarter of the time.
    """
    group: list[tuple[str, Packed | str]] = []
    num_bytes = 0
    for name, data in batch:
        image = _opened(data, name)
        group.append((name, image))
        if isinstance(image, Packed):
            num_bytes += image.num_bytes
            budget.take(image.num_bytes, name)
        if len(group) >= GROUP and num_bytes < GROUP_BYTES:
            yield group
            group, num_bytes = [], 0
    yield group


def _opened(data: bytes, name: str) -> Packed | str:
    """The image, not decoded yet, or what is wrong with it."""
    try:
        return Packed(data, name)
    except DataError as error:
        return error.message


def _packed(source: Source[Images]) -> Tensors:
    """The source as tensors alone, which is what the cache holds: the pixels as they are in memory."""
    images = source.images
    return {
        "pixels": images.buffer,
        "sizes": torch.tensor(list(images.groups), dtype=torch.int32),
        "group_of": torch.from_numpy(images.group_of.astype(np.int32)),
        "channels": torch.tensor(images.channels),
        "names": _text_tensor([list(source.names), list(source.bad)]),
    }


def _unpacked(tensors: Tensors) -> Source[Images]:
    """The source again; pixels that the cache has mapped from its file stay mapped."""
    sizes = [(height, width) for height, width in tensors["sizes"].tolist()]
    images = Images.from_buffer(
        tensors["pixels"], sizes, tensors["group_of"].numpy(), int(tensors["channels"])
    )
    names, bad = json.loads(tensors["names"].numpy().tobytes())
    return Source(images, tuple(names), tuple((name, why) for name, why in bad))


def _text_tensor(lists: list[Any]) -> Tensor:
    return torch.frombuffer(bytearray(json.dumps(lists).encode()), dtype=torch.uint8)
