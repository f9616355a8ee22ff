from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from data.image_files import random_png, write_folder, write_tgz
from nnkit.datasets.mnist_varres import MnistVarres
from nnkit.errors import DataError, UsageError
from nnkit.types import DataPlace

SMALL = {
    f"mnist-varres/{split}/{digit}/{number:06}.png": random_png(number, side, side)
    for split, count in (("train", 10), ("test", 3))
    for digit in (0, 7)
    for number, side in zip(range(count), (32, 48, 64) * 4, strict=False)
}


def sizes_of(sizes: np.ndarray) -> dict[int, int]:
    return dict(zip(*(part.tolist() for part in np.unique(sizes[:, 0], return_counts=True)), strict=True))


@pytest.mark.slow
def test_the_archive_holds_what_is_known_of_it(data_root: Path, cache_dir: Path) -> None:
    data = MnistVarres().load(DataPlace(data_root, cache_dir))
    train, val, test = (data.splits[name] for name in ("train", "val", "test"))
    assert (len(train), len(val), len(test)) == (48_000, 12_000, 10_000)
    assert sizes_of(np.concatenate([train.sizes, val.sizes])) == {32: 19_913, 48: 20_080, 64: 20_007}
    assert sizes_of(test.sizes) == {32: 3_269, 48: 3_381, 64: 3_350}
    assert not set(train.indices) & set(val.indices)
    assert data.in_channels == 1
    assert data.image_size is None
    assert data.notes == ()


@pytest.mark.parametrize("kind", ["archive", "folder"])
def test_labels_and_splits_come_from_the_folders(tmp_path: Path, kind: str) -> None:
    if kind == "archive":
        write_tgz(tmp_path / "mnist-varres.tgz", SMALL)
    else:
        write_folder(tmp_path, SMALL)
    data = MnistVarres().load(DataPlace(tmp_path, tmp_path / "cache"))
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 16, "val": 4, "test": 6}
    test = data.splits["test"]
    assert test.targets[torch.from_numpy(test.indices)].tolist() == [0, 0, 0, 7, 7, 7]
    again = MnistVarres().load(DataPlace(tmp_path, tmp_path / "cache"))
    for name, split in data.splits.items():
        assert np.array_equal(split.indices, again.splits[name].indices)
        for index in split.indices:
            assert torch.equal(split.images.image(index), again.splits[name].images.image(index))
    assert data.mean == again.mean


def test_its_sizes_suit_varres_net() -> None:
    assert MnistVarres().default_model == "varres-net"


def test_a_missing_archive_says_what_to_put_where(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no mnist-varres\.tgz") as caught:
        MnistVarres().load(DataPlace(tmp_path, tmp_path))
    assert str(tmp_path) in caught.value.hint


def test_a_bad_image_is_named(tmp_path: Path) -> None:
    write_tgz(tmp_path / "mnist-varres.tgz", SMALL | {"mnist-varres/train/3/000001.png": b"x"})
    with pytest.raises(DataError, match=r"train/3/000001\.png"):
        MnistVarres().load(DataPlace(tmp_path, tmp_path / "cache"))


def test_a_wrong_share_is_refused() -> None:
    with pytest.raises(UsageError, match="val_fraction"):
        MnistVarres(val_fraction=1.5)
