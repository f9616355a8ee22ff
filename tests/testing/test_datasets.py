"""The checks of a dataset's splits, on datasets with a fault."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nnkit.data.images import Images
from nnkit.data.splits import classification_data
from nnkit.testing import datasets
from nnkit.types import Data, Split

NUM = 60
PIXELS = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (NUM, 1, 6, 6), dtype=np.uint8))
LABELS = torch.arange(NUM) % 3


def own_images(train: list[int], val: list[int], test: list[int]) -> Data:
    """Splits that hold images of their own: these of the sixty."""
    made = {}
    for name, some in (("train", train), ("val", val), ("test", test)):
        images = Images.from_tensor(PIXELS[some].clone())
        made[name] = Split(images, LABELS[some], np.arange(len(some)))
    whole = classification_data(
        Images.from_tensor(PIXELS), LABELS, {name: np.arange(3) for name in made}, ("a", "b", "c")
    )
    return Data(
        task="classification",
        splits=made,
        in_channels=1,
        image_size=(6, 6),
        class_names=whole.class_names,
        mean=whole.mean,
        std=whole.std,
    )


def test_splits_with_images_of_their_own_that_share_none_pass() -> None:
    datasets._check_disjoint(own_images([*range(40)], [*range(40, 50)], [*range(50, 60)]))


@pytest.mark.parametrize(
    ("train", "val", "test", "said"),
    [
        (range(60), range(60), range(60), "60 of 60 images are in both train and val"),
        (range(40), range(40, 50), range(38, 58), "2 of 20 images are in both train and test"),
        (range(40), range(40, 50), range(45, 60), "5 of 10 images are in both val and test"),
    ],
)
def test_images_in_two_splits_are_found_by_their_pixels(
    train: range, val: range, test: range, said: str
) -> None:
    with pytest.raises(AssertionError, match=said):
        datasets._check_disjoint(own_images([*train], [*val], [*test][::-1]))


def test_images_in_two_splits_of_one_source_are_found_by_their_positions() -> None:
    images = Images.from_tensor(torch.zeros(9, 1, 6, 6, dtype=torch.uint8))
    indices = {"train": np.arange(5), "val": np.arange(5, 7), "test": np.arange(6, 9)}
    data = classification_data(images, LABELS[:9], indices, ("a", "b", "c"))
    with pytest.raises(AssertionError, match="1 images are in both val and test"):
        datasets._check_disjoint(data)
