"""MNIST in three sizes: the variable-resolution digits of the VU Amsterdam deep-learning course."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from nnkit.data.download import download_hint
from nnkit.data.images import Images, Indices
from nnkit.data.sources import Source, load_source
from nnkit.data.splits import check_fraction, check_seed, classification_data, random_parts
from nnkit.errors import DataError
from nnkit.types import Data, DataPlace, Task

NAME = "mnist-varres"
NUM_CLASSES = 10
NUM_IMAGES = 70_000


class MnistVarres:
    """MNIST digits on one-channel canvases of 32×32, 48×48 and 64×64: 48,000 / 12,000 / 10,000.

    Read from `mnist-varres.tgz` in the data root, or an unpacked folder of that name. `val_fraction` of the
    training images, drawn by `seed`, validate.
    """

    task: Task = "classification"
    default_model = "varres-net"

    def __init__(self, *, val_fraction: float = 0.2, seed: int = 0) -> None:
        self.val_fraction = check_fraction(val_fraction)
        self.seed = check_seed(seed)

    def load(self, place: DataPlace) -> Data:
        """Read or take from the cache 70,000 uint8 images of one channel, test images first (sorted names).

        `DataError` where the archive is missing, damaged, or holds other files than it should.
        """
        source = _read(place)
        in_test, labels = _parse(source)
        train, val = random_parts(np.flatnonzero(~in_test), self.val_fraction, self.seed)
        parts = {"train": train, "val": val, "test": np.flatnonzero(in_test)}
        names = [str(digit) for digit in range(NUM_CLASSES)]
        notes = () if len(labels) == NUM_IMAGES else (f"{len(labels):,} images, not {NUM_IMAGES:,}",)
        return classification_data(source.images, torch.from_numpy(labels), parts, names, notes)


def _read(place: DataPlace) -> Source[Images]:
    for path in (place.root / f"{NAME}.tgz", place.root / NAME):
        if path.exists():
            source = load_source(path, place.cache, channels=1)
            if source.bad:
                raise DataError(f"{path} is damaged: {source.bad[0][1]}", hint="get it again")
            return source
    raise DataError(
        f"the dataset {NAME} is missing: {place.root} has no {NAME}.tgz",
        hint=download_hint(place.root, f"{NAME}.tgz (the course's archive)", can_download=False),
    )


def _parse(source: Source[Images]) -> tuple[NDArray[np.bool_], Indices]:
    """From names SPLIT/DIGIT/FILE: whether each image is for testing, bool (N,); its digit, int64 (N,)."""
    in_test = np.empty(len(source.names), bool)
    labels = np.empty(len(source.names), np.int64)
    for index, name in enumerate(source.names):
        split, digit = ["", "", *name.split("/")][-3:-1]
        if split not in ("train", "test") or digit not in "0123456789" or len(digit) != 1:
            raise DataError(f"{NAME}: {name} is not in train/DIGIT or test/DIGIT", hint="get it again")
        in_test[index] = split == "test"
        labels[index] = int(digit)
    return in_test, labels
