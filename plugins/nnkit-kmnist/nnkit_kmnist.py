"""KMNIST: handwritten hiragana of ten classes, read by torchvision."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import numpy as np
import torch
from torchvision.datasets import KMNIST

from nnkit import files
from nnkit.data.download import download_hint, downloaded
from nnkit.data.images import Images
from nnkit.data.splits import classification_data
from nnkit.errors import DataError
from nnkit.types import Data, DataPlace, Task


class Kmnist:
    """KMNIST, 28×28×1, ten classes of hiragana: 50,000 train, 10,000 validate, 10,000 test.

    The last sixth of the training images validates. Read from `KMNIST/raw` under the data root, where
    torchvision has it; with `--download` fetched there and checked. Clanuwat et al. (2018), "Deep learning
    for classical Japanese literature".
    """

    task: Task = "classification"
    default_model = "mnist-convnet"

    def load(self, place: DataPlace) -> Data:
        """Read the four files, training images first; `DataError` where one is missing or damaged."""
        _provide(place.root / "KMNIST" / "raw", download=place.download)
        try:
            train, test = (KMNIST(str(place.root), train=part) for part in (True, False))
        except (OSError, RuntimeError, ValueError, AssertionError, LookupError) as error:
            raise DataError(
                f"KMNIST in {place.root} is damaged: {error}", hint="remove its folder, or replace its files"
            ) from error
        num_train = len(train) - len(train) // 6
        indices = np.split(np.arange(len(train) + len(test)), [num_train, len(train)])
        return classification_data(
            Images.from_tensor(torch.cat([train.data, test.data])[:, None]),
            torch.cat([train.targets, test.targets]).to(torch.int64),
            dict(zip(("train", "val", "test"), indices, strict=True)),
            KMNIST.classes,
        )


def _provide(folder: Path, *, download: bool) -> None:
    resources = {name.removesuffix(".gz"): (name, md5) for name, md5 in KMNIST.resources}
    missing = [name for name in resources if not (folder / name).is_file()]
    if missing and not download:
        raise DataError(
            f"the dataset kmnist is missing: {folder} has no {', '.join(missing)}",
            hint=download_hint(folder, "KMNIST's four unpacked files"),
        )
    for name in missing:
        packed, md5 = resources[name]
        with downloaded([mirror + packed for mirror in KMNIST.mirrors], md5, folder) as path:
            _unpack(path, folder / name)


def _unpack(packed: Path, path: Path) -> None:
    """A file gets its name only when it is whole."""
    with files.replacing(path) as temporary, gzip.open(packed) as source, temporary.open("wb") as target:
        shutil.copyfileobj(source, target)
