from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nnkit.datasets.digits import Digits
from nnkit.datasets.digits_varres import DigitsVarres
from nnkit.errors import UsageError
from nnkit.types import Data, DataPlace

NOWHERE = DataPlace(Path("/nonexistent"), Path("/nonexistent"))
COUNTS = {"train": 10_000, "val": 2_000, "test": 2_000}


def pixels(data: Data) -> list[np.ndarray]:
    return [group.numpy() for group in data.splits["train"].images.groups.values()]


@pytest.mark.parametrize("kind", [Digits, DigitsVarres])
def test_splits_are_disjoint_and_balanced(kind: type[Digits]) -> None:
    data = kind().load(NOWHERE)
    assert {name: len(split) for name, split in data.splits.items()} == COUNTS
    everything = np.concatenate([split.indices for split in data.splits.values()])
    assert np.array_equal(np.sort(everything), np.arange(14_000))
    for name, split in data.splits.items():
        counts = np.bincount(split.targets.numpy()[split.indices])
        assert (counts == COUNTS[name] // 10).all()
    assert data.known_settings()["num_classes"] == 10
    assert data.in_channels == 1


def test_digits_are_28_pixels_high_and_wide() -> None:
    assert Digits().load(NOWHERE).image_size == (28, 28)


def test_digits_varres_has_three_sizes_equally_often_in_each_split() -> None:
    data = DigitsVarres().load(NOWHERE)
    assert data.image_size is None
    for name, split in data.splits.items():
        sides, counts = np.unique(split.sizes[:, 0], return_counts=True)
        assert sides.tolist() == [32, 48, 64]
        assert np.abs(counts - COUNTS[name] / 3).max() < 1


@pytest.mark.parametrize("kind", [Digits, DigitsVarres])
def test_the_seed_alone_decides(kind: type[Digits]) -> None:
    first, again, other = (pixels(kind(seed=seed).load(NOWHERE)) for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_mean_and_deviation_are_those_of_the_training_pixels() -> None:
    data = DigitsVarres().load(NOWHERE)
    train = data.splits["train"]
    levels = np.concatenate([train.images.image(i).numpy().reshape(-1) for i in train.indices]) / 255
    assert data.mean[0] == pytest.approx(levels.mean(), abs=1e-12)
    assert data.std[0] == pytest.approx(levels.std(), abs=1e-12)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(UsageError, match="seed"):
        Digits(seed=-1)
