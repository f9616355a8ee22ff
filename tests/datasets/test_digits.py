from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from nnkit.datasets.digits import Digits
from nnkit.datasets.digits_varres import DigitsVarres
from nnkit.errors import UsageError
from nnkit.types import Data, DataPlace, Split

NOWHERE = DataPlace(Path("/nonexistent"), Path("/nonexistent"))
COUNTS = {"train": 10_000, "val": 2_000, "test": 2_000}


@pytest.fixture(scope="module")
def digits() -> Data:
    return Digits().load(NOWHERE)


@pytest.fixture(scope="module")
def varres() -> Data:
    return DigitsVarres().load(NOWHERE)


@pytest.fixture(params=["digits", "varres"])
def data(request: pytest.FixtureRequest) -> Data:
    loaded: Data = request.getfixturevalue(request.param)
    return loaded


def labels_of(split: Split) -> np.ndarray:
    labels: np.ndarray = split.targets.numpy()[split.indices]
    return labels


def pixels(data: Data) -> list[np.ndarray]:
    return [group.numpy() for group in data.splits["train"].images.groups.values()]


def test_splits_are_disjoint_and_balanced(data: Data) -> None:
    assert {name: len(split) for name, split in data.splits.items()} == COUNTS
    everything = np.concatenate([split.indices for split in data.splits.values()])
    assert np.array_equal(np.sort(everything), np.arange(14_000))
    for name, split in data.splits.items():
        counts = np.bincount(labels_of(split))
        assert (counts == COUNTS[name] // 10).all()
    assert data.known_settings()["num_classes"] == 10
    assert data.class_names == tuple("0123456789")
    assert data.in_channels == 1


def middle(split: Split) -> np.ndarray:
    """The ink about each image's centre of mass, float (N, 26 × 26)."""
    found = np.zeros((len(split), 26, 26))
    for row, index in enumerate(split.indices):
        image = np.pad(split.images.image(index)[0].numpy(), 26)
        y, x = np.indices(image.shape)
        top, left = (round((axis * image).sum() / image.sum()) - 13 for axis in (y, x))
        found[row] = image[top : top + 26, left : left + 26]
    return found.reshape(len(split), -1)


def test_images_show_the_digits_that_their_labels_say_on_every_canvas(data: Data) -> None:
    train, test = data.splits["train"].sample(1000), data.splits["test"].sample(400)
    known, asked = middle(train), middle(test)
    distances = (known**2).sum(axis=1) - 2 * asked @ known.T
    found = labels_of(train)[distances.argmin(axis=1)]
    right = found == labels_of(test)
    for height in np.unique(test.sizes[:, 0]):
        assert right[test.sizes[:, 0] == height].mean() > 0.7


def test_no_image_is_in_two_splits(data: Data) -> None:
    images = data.splits["train"].images
    assert len({images.image(index).numpy().tobytes() for index in range(14_000)}) == 14_000


def test_digits_are_28_pixels_high_and_wide(digits: Data) -> None:
    assert digits.image_size == (28, 28)


def test_digits_varres_has_three_sizes_equally_often_in_each_split_whatever_the_digit(varres: Data) -> None:
    assert varres.image_size is None
    for name, split in varres.splits.items():
        sides, counts = np.unique(split.sizes[:, 0], return_counts=True)
        assert sides.tolist() == [32, 48, 64]
        assert np.array_equal(split.sizes[:, 0], split.sizes[:, 1])
        assert np.abs(counts - COUNTS[name] / 3).max() < 1
        table = np.zeros((3, 10))
        np.add.at(table, (split.sizes[:, 0] // 16 - 2, labels_of(split)), 1)
        assert stats.chi2_contingency(table).pvalue > 0.001
        assert np.abs(table - COUNTS[name] / 30).max() < 0.15 * COUNTS[name] / 30 + 15


def test_digits_are_equally_large_on_every_canvas(varres: Data) -> None:
    split = varres.splits["test"]
    inks = np.array([float(split.images.image(index).float().sum()) for index in split.indices])
    means = [inks[split.sizes[:, 0] == side].mean() for side in (32, 48, 64)]
    assert max(means) / min(means) < 1.05


@pytest.mark.parametrize("kind", [Digits, DigitsVarres])
def test_the_seed_alone_decides(kind: type[Digits]) -> None:
    first, again, other = (kind(seed=seed).load(NOWHERE) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(pixels(first), pixels(again), strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(pixels(first), pixels(other), strict=True))
    assert np.array_equal(first.splits["train"].targets, again.splits["train"].targets)
    assert not np.array_equal(first.splits["train"].targets, other.splits["train"].targets)


def test_mean_and_standard_deviation_are_those_of_the_training_pixels(varres: Data) -> None:
    train = varres.splits["train"]
    levels = np.concatenate([train.images.image(i).numpy().reshape(-1) for i in train.indices]) / 255
    assert varres.mean[0] == pytest.approx(levels.mean(), abs=1e-12)
    assert varres.std[0] == pytest.approx(levels.std(), abs=1e-12)


@pytest.mark.parametrize("kind", [Digits, DigitsVarres])
def test_a_negative_seed_is_refused(kind: type[Digits]) -> None:
    with pytest.raises(UsageError, match="seed"):
        kind(seed=-1)
