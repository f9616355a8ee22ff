"""A folder or archive of images as `Images` with their names: read, decoded and cached."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nnkit.data.archive import ARCHIVE_SUFFIXES, is_archive, read_images
from nnkit.data.cache import Tensors, cached, fingerprint
from nnkit.data.decode import Channels, Pixels, decode, to_channels
from nnkit.data.images import Images
from nnkit.errors import DataError, NnkitError, UsageError

logger = logging.getLogger("nnkit")

BATCH = 512
"""Files read before they are decoded: bounds how many packed ones are in memory."""

LARGE_BYTES = 16_384
"""Decoding gains by threads only from about this file size on: Pillow's own Python part holds the lock."""

NUM_THREADS = 4
SHOWN = 10
KNOWN = ", ".join(ARCHIVE_SUFFIXES)


@dataclass(frozen=True)
class Source:
    """Images with the names of their files, in sorted order of the names.

    `bad` has the name of each file that is no image, and what is wrong with it.
    """

    images: Images
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
) -> Source:
    """All images under `path`, a folder or archive; decoded once, then from `cache`.

    `channels` None: 1 when every image is grey, else 3. Files that are no image are left out, listed in
    `bad` and named in one warning. `DataError` for a damaged archive, and where no file is an image; the
    error `missing` where there is no image file at all.
    """
    parts = {"source": fingerprint(path, cache), "channels": channels}
    source = _unpacked(cached(cache, path.name, parts, lambda: _packed(_read(path, channels, missing))))
    if source.bad:
        logger.warning("%s: %d bad image files are left out: %s", path, len(source.bad), _some(source.bad))
    return source


def _some(bad: Sequence[tuple[str, str]]) -> str:
    lines = [why for _, why in bad]
    more = f"; and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return "; ".join(lines[:SHOWN]) + more


def _read(path: Path, channels: Channels | None, missing: type[NnkitError]) -> Source:
    good: list[tuple[str, Pixels]] = []
    bad: list[tuple[str, str]] = []
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        files = read_images(path)
        while batch := list(islice(files, BATCH)):
            for name, result in _decoded(batch, channels, pool):
                if isinstance(result, str):
                    bad.append((name, result))
                else:
                    good.append((name, result))
    if not good and not bad:
        raise missing(f"{path} holds no image files", hint="put PNG or JPEG files there")
    if not good:
        raise DataError(f"{path} holds no image that can be read: {_some(bad)}", hint="replace them")
    good.sort(key=lambda item: item[0])
    wanted: Channels = 3 if any(len(pixels) == 3 for _, pixels in good) else 1
    images = Images.from_arrays([to_channels(pixels, wanted) for _, pixels in good])
    return Source(images, tuple(name for name, _ in good), tuple(sorted(bad)))


def _decoded(
    batch: Sequence[tuple[str, bytes]], channels: Channels | None, pool: ThreadPoolExecutor
) -> Iterable[tuple[str, Pixels | str]]:
    """Each file's name with its pixels, or with what is wrong with it."""

    def one(item: tuple[str, bytes]) -> tuple[str, Pixels | str]:
        name, data = item
        try:
            return name, decode(data, name, channels)
        except DataError as error:
            return name, error.message

    if sum(len(data) for _, data in batch) > LARGE_BYTES * len(batch):
        return pool.map(one, batch)
    return map(one, batch)


def _packed(source: Source) -> Tensors:
    """The source as tensors alone, which is what the cache holds."""
    packed: dict[str, Tensor] = {
        f"images/{number}": tensor for number, tensor in enumerate(source.images.groups.values())
    }
    packed["group_of"] = torch.from_numpy(source.images.group_of.astype(np.int32))
    packed["names"] = _text_tensor([list(source.names), list(source.bad)])
    return packed


def _unpacked(tensors: Tensors) -> Source:
    groups = [tensors[f"images/{number}"] for number in range(sum(1 for _ in _image_keys(tensors)))]
    by_size = {(tensor.shape[2], tensor.shape[3]): tensor for tensor in groups}
    names, bad = json.loads(tensors["names"].numpy().tobytes())
    return Source(
        Images(by_size, tensors["group_of"].numpy()), tuple(names), tuple((name, why) for name, why in bad)
    )


def _image_keys(tensors: Tensors) -> Iterator[str]:
    return (key for key in tensors if key.startswith("images/"))


def _text_tensor(lists: list[Any]) -> Tensor:
    return torch.frombuffer(bytearray(json.dumps(lists).encode()), dtype=torch.uint8)
