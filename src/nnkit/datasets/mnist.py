"""MNIST, read from the four files of torchvision's layout straight into one tensor."""

from __future__ import annotations

import gzip
import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.datasets import MNIST

from nnkit import files
from nnkit.data.download import download_hint, downloaded
from nnkit.data.images import Images
from nnkit.data.splits import classification_data
from nnkit.errors import DataError
from nnkit.types import Data, DataPlace, Task

SIDE = 28
NUM_TRAIN, NUM_VAL, NUM_TEST = 50_000, 10_000, 10_000
NUM_CLASSES = 10
REPLACE = "replace it, or remove it and run again with --download"


@dataclass(frozen=True)
class RawFile:
    """One of MNIST's files: the number of bytes before the data, and the md5 of the file."""

    name: str
    header: int
    md5: str


TRAIN_IMAGES = RawFile("train-images-idx3-ubyte", 16, "6bbc9ace898e44ae57da46a324031adb")
TRAIN_LABELS = RawFile("train-labels-idx1-ubyte", 8, "a25bea736e30d166cdddb491f175f624")
TEST_IMAGES = RawFile("t10k-images-idx3-ubyte", 16, "2646ac647ad5339dbf082846283269ea")
TEST_LABELS = RawFile("t10k-labels-idx1-ubyte", 8, "27ae3e4e09519cfbb04c329615203637")
FILES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)


class Mnist:
    """MNIST's handwritten digits, 28×28×1: 50,000 train, 10,000 validate, 10,000 test.

    The last 10,000 training images validate. Read from `MNIST/raw` under the data root, where torchvision
    has it; with `--download` fetched there.
    """

    task: Task = "classification"
    default_model = "mnist-convnet"

    def load(self, place: DataPlace) -> Data:
        """Read the files: uint8 images (70,000, 1, 28, 28), training images first.

        `DataError` names a file that is missing or differs from the published one by its md5.
        """
        folder = place.root / "MNIST" / "raw"
        _provide(folder, place.download)
        num_images = NUM_TRAIN + NUM_VAL
        images = np.empty((num_images + NUM_TEST, 1, SIDE, SIDE), np.uint8)
        labels = np.empty(len(images), np.uint8)
        _read(folder, TRAIN_IMAGES, images[:num_images])
        _read(folder, TEST_IMAGES, images[num_images:])
        _read(folder, TRAIN_LABELS, labels[:num_images])
        _read(folder, TEST_LABELS, labels[num_images:])
        train, val, test = np.split(np.arange(len(images)), [NUM_TRAIN, num_images])
        return classification_data(
            Images.from_tensor(torch.from_numpy(images)),
            torch.from_numpy(labels.astype(np.int64)),
            {"train": train, "val": val, "test": test},
            [str(digit) for digit in range(NUM_CLASSES)],
        )


def _read(folder: Path, file: RawFile, out: NDArray[np.uint8]) -> None:
    """Fill `out` with the file's data, read in place; `DataError` unless the file is the published one."""
    path = folder / file.name
    view = memoryview(out.data).cast("B")
    try:
        with path.open("rb") as stream:
            header = stream.read(file.header)
            num_read = stream.readinto(view)
            rest = stream.read(1)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None
    if num_read != len(view) or rest:
        expected = file.header + len(view)
        raise DataError(
            f"{path} is damaged: it has {path.stat().st_size:,} bytes, it should have {expected:,}",
            hint=REPLACE,
        )
    digest = hashlib.md5(header, usedforsecurity=False)
    digest.update(view)
    if digest.hexdigest() != file.md5:
        raise DataError(
            f"{path} is damaged: its md5 is {digest.hexdigest()}, it should be {file.md5}",
            hint=REPLACE,
        )


def _provide(folder: Path, download: bool) -> None:
    """See that all files are there, fetching what is missing where that is asked for."""
    missing = [file for file in FILES if not (folder / file.name).is_file()]
    if missing and not download:
        names = ", ".join(file.name for file in missing)
        raise DataError(
            f"the dataset mnist is missing: {folder} has no {names}",
            hint=download_hint(folder, "MNIST's four unpacked files"),
        )
    for file in missing:
        if not (folder / file.name).is_file():  # another process may have fetched it meanwhile
            _download(folder, file)


def _download(folder: Path, file: RawFile) -> None:
    """Fetch and unpack one file; it gets its name only when it is whole."""
    packed, packed_md5 = next(
        (name, md5) for name, md5 in MNIST.resources if name.removesuffix(".gz") == file.name
    )
    urls = [mirror + packed for mirror in MNIST.mirrors]
    with (
        downloaded(urls, packed_md5, folder) as path,
        files.replacing(folder / file.name) as temporary,
        gzip.open(path) as source,
        temporary.open("wb") as target,
    ):
        shutil.copyfileobj(source, target, 1 << 20)
