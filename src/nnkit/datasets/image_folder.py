"""A user's own images, one folder per class."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nnkit.data.bucketing.settings import takes_bucket_settings
from nnkit.data.cache import cached
from nnkit.data.decode import Channels
from nnkit.data.images import Images
from nnkit.data.resize_policy import Mode, brought_to_one_size, check_bucketing, usual_model
from nnkit.data.resizing import MIN_SIDE
from nnkit.data.sources import Source, find_source, load_source, stream_source
from nnkit.data.splits import (
    check_fraction,
    check_seed,
    classification_data,
    count_levels,
    folder_parts,
    split_folder,
)
from nnkit.errors import DataError, UsageError
from nnkit.types import EXACT_SIZES, Bucketing, Data, DataPlace, Size, Split, Task

MAX_SIDE = 8192
MAX_WORKERS = 256


@takes_bucket_settings
class ImageFolder:
    """Images of any sizes and shapes in a folder or archive, one folder per class.

    `path` is looked for here and then in the data root. With `train/` and `test/` the classes are the folders
    in them (`val/` validates where it is there); without, 10 % of the images, drawn by `seed`, are for
    testing. `val_fraction` of the training images validate. `mode`: "bucket" keeps the sizes; "resize" brings
    all to `size` × `size` (default: the median side of training images); "pad" puts each in the middle of a
    black canvas of `size` × `size` (default: the largest height × width). `channels`: 1 grey, 3 colour
    (default: 1 when every image is grey). Hidden files are ignored.

    With `in_memory=false`, for more images than memory holds (an image takes height × width × channels
    bytes), those of a folder stay in their files: sizes are read from the headers, pixels when a batch asks
    for them, and `num_workers` processes of one thread read ahead. The batches are the same; the first load
    reads the training images once, for their mean and deviation. Not with mode=pad.
    """

    task: Task = "classification"

    def __init__(
        self,
        *,
        path: Path,
        mode: Mode = "bucket",
        channels: Channels | None = None,
        val_fraction: float = 0.1,
        seed: int = 0,
        size: int | None = None,
        in_memory: bool = True,
        num_workers: int = 0,
        bucketing: Bucketing = EXACT_SIZES,
    ) -> None:
        if size is not None and mode == "bucket":
            raise UsageError("mode=bucket keeps the images' sizes", hint="leave size out, or set mode=resize")
        if size is not None and not MIN_SIDE <= size <= MAX_SIDE:
            raise UsageError(f"size is {size}, it must lie between {MIN_SIDE} and {MAX_SIDE}")
        self.path = path
        self.mode = mode
        self.channels = channels
        self.val_fraction = check_fraction(val_fraction)
        self.seed = check_seed(seed)
        self.size = size
        self.in_memory = _check_in_memory(in_memory, num_workers, mode)
        self.num_workers = num_workers
        self.bucketing = check_bucketing(bucketing, mode)
        self.default_model = usual_model(mode)

    def load(self, place: DataPlace) -> Data:
        """Read or take from the cache the images, uint8, in sorted order of their names.

        Bad image files are named in one warning, left out and listed in the notes. `UsageError` where the
        path is not there or holds no class folders; `DataError` for a damaged archive, or a class of which no
        image can be read.
        """
        path = find_source(self.path, place.root)
        source = self._source(path, place.cache)
        classes = class_folders([*source.names, *(name for name, _ in source.bad)])
        names = _class_names(path, source, classes)
        kept = np.array([index for index in range(len(source.names)) if classes[index]], np.int64)
        parts, notes = folder_parts([source.names[index] for index in kept], self.val_fraction, self.seed)
        parts = {name: kept[part] for name, part in parts.items()}
        label_of = {name: label for label, name in enumerate(names)}
        labels = [label_of.get(name, 0) for name in classes[: len(source.names)]]
        images = self._in_mode(source.images, source.images.sizes[parts["train"]])
        outside = len(source.names) - len(kept)
        if outside:
            notes = (*notes, f"{outside} images in no class folder are left out")
        notes = (*notes, *(why for _, why in source.bad))

        def levels(split: Split) -> Tensor:
            return count_levels(split) if self.in_memory else _remembered_levels(split, source, place.cache)

        return classification_data(
            images, torch.tensor(labels), parts, names, notes, bucketing=self.bucketing, levels=levels
        )

    def _source(self, path: Path, cache: Path) -> Source:
        if self.in_memory:
            return load_source(path, cache, channels=self.channels, missing=UsageError)
        return stream_source(
            path, cache, channels=self.channels, num_workers=self.num_workers, missing=UsageError
        )

    def _in_mode(self, images: Images, train_sizes: np.ndarray) -> Images:
        if self.mode == "bucket":
            return images
        return brought_to_one_size(images, self.mode, self._target_size(images, train_sizes))

    def _target_size(self, images: Images, train_sizes: np.ndarray) -> Size:
        if self.mode == "resize":
            side = self.size or max(MIN_SIDE, int(np.median(train_sizes)))
            return side, side
        height, width = (int(side) for side in images.sizes.max(axis=0))
        if self.size is None:
            return height, width
        if max(height, width) > self.size:
            raise UsageError(
                f"size is {self.size}, the images have up to {height}×{width} pixels",
                hint="leave size out, or set mode=resize",
            )
        return self.size, self.size


def _check_in_memory(in_memory: bool, num_workers: int, mode: Mode) -> bool:
    if not 0 <= num_workers <= MAX_WORKERS:
        raise UsageError(f"num_workers is {num_workers}, it must lie between 0 and {MAX_WORKERS}")
    if in_memory and num_workers:
        raise UsageError(
            "num_workers: images in memory need no process that reads them", hint="add in_memory=false"
        )
    if not in_memory and mode == "pad":
        raise UsageError(
            "mode=pad holds all images in memory, on canvases of the largest size",
            hint="with in_memory=false set mode=bucket or mode=resize",
        )
    return in_memory


def _remembered_levels(split: Split, source: Source, cache: Path) -> Tensor:
    """The counts of `count_levels`, from the cache where the files and the split are those of before."""
    chosen = np.concatenate([split.indices[:, None], split.sizes], axis=1)
    digest = hashlib.sha256(chosen.tobytes()).hexdigest()
    parts = {"levels": source.state, "channels": split.images.channels, "images": digest}
    return cached(cache, "levels", parts, lambda: {"counts": count_levels(split)})["counts"]


def class_folders(names: Sequence[str]) -> list[str]:
    """The class that each file's folders tell, "" where none does.

    With images under train/ and test/ it is the folder just inside these. Else it is the first folder in
    which the names differ, so that an archive's one outer folder is none.
    """
    splits = [split_folder(name) for name in names]
    if {"train", "test"} <= {split for split, _ in splits}:
        return [folders[0] if split and folders else "" for split, folders in splits]
    folders = [os.path.dirname(name) for name in names]
    common = os.path.commonpath(folders) if folders and all(folders) else ""
    depth = len(common.split("/")) if common else 0
    return ["/".join(folder.split("/")[depth : depth + 1]) for folder in folders]


def _class_names(path: Path, source: Source, classes: Sequence[str]) -> list[str]:
    names = sorted({name for name in classes if name})
    if len(names) < 2:
        raise UsageError(
            f"{path} has no classes: it needs at least two folders with images in them",
            hint="put the images of each class into a folder named after it",
        )
    readable = set(classes[: len(source.names)])
    for name, (_, why) in zip(classes[len(source.names) :], source.bad, strict=True):
        if name and name not in readable:
            raise DataError(
                f"the class {name} of {path} has no image that can be read: {why}", hint="replace them"
            )
    return names
