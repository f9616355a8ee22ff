"""Images of a folder or archive, one folder per class."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from nnkit.data.archive import other_suffixes
from nnkit.data.decode import Channels
from nnkit.data.folder_layout import left_out, no_images, read_layout
from nnkit.data.images import Images
from nnkit.data.sources import Source, find_source, load_source, stream_source
from nnkit.data.splits import (
    check_fraction,
    check_seed,
    class_parts,
    classification_data,
)
from nnkit.data.streaming import FileImages
from nnkit.errors import DataError, UsageError
from nnkit.types import Data, DataPlace, Task

logger = logging.getLogger("nnkit")
MAX_WORKERS = 256


class ImageFolder:
    """Images of any sizes and shapes in a folder or archive, one folder per class.

    `path` is looked for here and then in the data root. With folders `train/`, `val/` (or `valid/`,
    `validation/`) and `test/` side by side the classes are the folders in them: without `val/`,
    `val_fraction` of the training images validate; without `test/` there is no test split. With none of them
    10 % of each class, drawn by `seed`, are for testing, and `val_fraction` validate. `channels`: 1 or 3
    (default: 1 when every image is grey). Hidden files are ignored.

    With `in_memory=false`, for more images than memory holds (an image takes height × width × channels
    bytes), those of a folder stay in their files: sizes are read from the headers, pixels when a batch asks
    for them, and `num_workers` processes of one thread read ahead. The batches are the same; the first load
    reads the training images once, for their mean and standard deviation.
    """

    task: Task = "classification"
    default_model = "varres-net"

    def __init__(
        self,
        *,
        path: Path,
        channels: Channels | None = None,
        val_fraction: float = 0.1,
        seed: int = 0,
        in_memory: bool = True,
        num_workers: int = 0,
    ) -> None:
        self.path = path
        self.channels = channels
        self.val_fraction = check_fraction(val_fraction)
        self.seed = check_seed(seed)
        self.in_memory = _check_in_memory(in_memory, num_workers)
        self.num_workers = num_workers

    def load(self, place: DataPlace) -> Data:
        """Read or take from the cache the images, uint8, in sorted order of their names.

        Bad image files are named in one warning, left out and listed in the notes. `UsageError` where the
        path is not there or holds no class folders; `DataError` for a damaged archive, or a class of which no
        image can be read.
        """
        path = find_source(self.path, place.root)
        source = self._source(path, place.cache)
        layout = read_layout([*source.names, *(name for name, _ in source.bad)])
        names = _class_names(path, source, layout.classes)
        layout = replace(layout, classes=layout.classes[: len(source.names)])
        if layout.splits is not None:
            layout = replace(layout, splits=layout.splits[: len(source.names)])
        label_of = {name: label for label, name in enumerate(names)}
        labels = np.array([label_of.get(name, 0) for name in layout.classes], np.int64)
        parts = class_parts(layout, labels, self.val_fraction, self.seed)
        outside = [name for name, kind in zip(source.names, layout.classes, strict=True) if not kind]
        notes = left_out(outside, "in no class folder")
        if path.is_dir():
            notes = (*notes, *no_images(other_suffixes(path)))
        if not len(parts["test"]):
            notes = (*notes, "there is no folder test/: no image is left for testing")
        for note in notes:
            logger.warning("%s: %s", path, note)
        notes = (*notes, *(why for _, why in source.bad))
        return classification_data(source.images, torch.from_numpy(labels), parts, names, notes)

    def _source(self, path: Path, cache: Path) -> Source[Images] | Source[FileImages]:
        if self.in_memory:
            return load_source(path, cache, channels=self.channels, missing=UsageError)
        return stream_source(
            path, cache, channels=self.channels, num_workers=self.num_workers, missing=UsageError
        )


def _check_in_memory(in_memory: bool, num_workers: int) -> bool:
    if not 0 <= num_workers <= MAX_WORKERS:
        raise UsageError(f"num_workers is {num_workers}, it must lie between 0 and {MAX_WORKERS}")
    if in_memory and num_workers:
        raise UsageError(
            "num_workers: images in memory need no process that reads them", hint="add in_memory=false"
        )
    return in_memory


def _class_names(
    path: Path, source: Source[Images] | Source[FileImages], classes: Sequence[str]
) -> list[str]:
    names = sorted({name for name in classes if name})
    if len(names) < 2:
        raise UsageError(
            f"{path} has no classes: it needs at least two folders with images in them, a class each; "
            "train/, val/ and test/ are splits and hold such folders",
            hint="put the images of each class into a folder named after it",
        )
    readable = set(classes[: len(source.names)])
    for name, (_, why) in zip(classes[len(source.names) :], source.bad, strict=True):
        if name and name not in readable:
            raise DataError(
                f"the class {name} of {path} has no image that can be read: {why}", hint="replace them"
            )
    return names
