"""CIFAR-10 as torchvision has it: pickled batches whose checksums are verified before they are opened."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.datasets import CIFAR10
from torchvision.datasets.utils import calculate_md5

from nnkit import files
from nnkit.data.download import download_hint, downloaded
from nnkit.errors import DataError
from nnkit.types import DataPlace

IMAGES_ARCHIVE = "cifar10-images.tgz"
"""The same photographs as JPEG files, which some data roots have in their place."""


def read_cifar10(place: DataPlace) -> tuple[Tensor, int]:
    """The images, uint8 (N, 3, 32, 32), training images first, and how many of them are for training.

    `DataError` where a file is missing, or damaged: one with another checksum is never unpickled.
    """
    folder = place.root / CIFAR10.base_folder
    _provide(folder, place)
    parts = [CIFAR10(place.root, train=train, download=False).data for train in (True, False)]
    images = np.concatenate(parts).transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(images)), len(parts[0])


def _checksums() -> dict[str, str]:
    meta = {CIFAR10.meta["filename"]: CIFAR10.meta["md5"]}
    return dict(map(tuple, CIFAR10.train_list + CIFAR10.test_list)) | meta


def _provide(folder: Path, place: DataPlace) -> None:
    checksums = _checksums()
    missing = [name for name in checksums if not (folder / name).is_file()]
    if missing and place.download:
        _download(folder, missing)
    elif missing:
        raise DataError(
            f"the dataset cifar10 is missing: {folder} has no {', '.join(missing)}", hint=_hint(place)
        )
    for name, md5 in checksums.items():
        if (found := calculate_md5(folder / name)) != md5:
            raise DataError(
                f"{folder / name} is damaged: its md5 is {found}, it should be {md5}",
                hint="replace it, or remove it and run again with --download",
            )


def _hint(place: DataPlace) -> str:
    hint = download_hint(place.root, f"torchvision's folder {CIFAR10.base_folder}")
    if (place.root / IMAGES_ARCHIVE).is_file():
        return f"the data root has {IMAGES_ARCHIVE}: use source={IMAGES_ARCHIVE}; or {hint}"
    return f"{hint}; source=synthetic needs no file"


def _download(folder: Path, names: list[str]) -> None:
    """Fetch the archive and take the named files out of it; each gets its name only when it is whole."""
    with downloaded([CIFAR10.url], CIFAR10.tgz_md5, folder) as path, tarfile.open(path, "r:gz") as archive:
        for name in names:
            source = archive.extractfile(f"{CIFAR10.base_folder}/{name}")
            assert source is not None, "the archive's checksum says that the file is there"
            with files.replacing(folder / name) as temporary, temporary.open("wb") as target:
                shutil.copyfileobj(source, target)
