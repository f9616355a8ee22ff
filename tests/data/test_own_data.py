"""One's own images as a dataset: the pixels, classes and splits are those that were passed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, TensorDataset

import nnkit
from nnkit.errors import UsageError
from nnkit.types import Data as LoadedData
from nnkit.types import DataPlace

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (60, 9, 7), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (60, 9, 7, 3), dtype=np.uint8)
LABELS = np.arange(60) % 3


def loaded(*args: Any, **options: Any) -> LoadedData:
    return nnkit.Data(*args, **options).load(DataPlace(Path(), Path()))


def pixels(data: LoadedData, split: str) -> list[np.ndarray]:
    part = data.splits[split]
    return [part.images.image(int(at)).numpy() for at in part.indices]


CHW = np.moveaxis(COLOUR, -1, 1)


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (GREY, GREY[:, None]),
        (GREY[:, None], GREY[:, None]),
        (torch.from_numpy(GREY), GREY[:, None]),
        (COLOUR, CHW),
        (torch.from_numpy(CHW.copy()), CHW),
        (CHW / 255, CHW),
        (torch.from_numpy(CHW / 255).float(), CHW),
        ([Image.fromarray(each) for each in COLOUR], CHW),
        ([torch.from_numpy(each.copy()) for each in CHW], CHW),
    ],
    ids=["NHW", "N1HW", "tensor NHW", "NHWC", "tensor NCHW", "float64", "float32", "PIL", "list of tensors"],
)
def test_the_pixels_are_those_that_were_passed(images: Any, expected: np.ndarray) -> None:
    data = loaded((images, LABELS), val=(images, LABELS))
    assert np.array_equal(np.stack(pixels(data, "train")), expected)
    assert (data.in_channels, data.image_size, data.task) == (expected.shape[1], (9, 7), "classification")
    assert data.class_names == ("0", "1", "2")
    assert data.splits["train"].targets.tolist() == LABELS.tolist()
    assert data.mean == pytest.approx(tuple(expected.mean((0, 2, 3)) / 255))
    assert data.std == pytest.approx(tuple(expected.std((0, 2, 3)) / 255))


def test_images_of_several_sizes_keep_them() -> None:
    images = [GREY[at, : 4 + at % 3, : 5 + at % 2] for at in range(60)]
    data = loaded((images, LABELS), val=(images[:6], LABELS[:6]))
    assert data.image_size is None
    assert all(np.array_equal(a[0], b) for a, b in zip(pixels(data, "train"), images, strict=True))


class Pairs(Dataset[Any]):
    """Images and labels as torchvision's datasets give them."""

    def __len__(self) -> int:
        return 60

    def __getitem__(self, at: int) -> tuple[Image.Image, int]:
        return Image.fromarray(COLOUR[at]), int(LABELS[at])


@pytest.mark.parametrize(
    "dataset", [Pairs(), TensorDataset(torch.from_numpy(CHW.copy()), torch.from_numpy(LABELS))]
)
def test_a_torch_dataset_is_read_item_by_item(dataset: Dataset[Any]) -> None:
    data = loaded(dataset, val=dataset)
    assert np.array_equal(np.stack(pixels(data, "train")), CHW)
    assert data.splits["val"].targets.tolist() == LABELS.tolist()


def test_images_as_targets_are_a_transform() -> None:
    targets = torch.rand(60, 1, 4, 5)
    data = loaded((COLOUR, targets), val=(COLOUR[:5], (targets[:5] * 255).round().to(torch.uint8)))
    assert (data.task, data.target_channels, data.target_size) == ("transform", 1, (4, 5))
    assert torch.equal(data.splits["train"].targets, targets)
    assert data.splits["val"].targets.numpy() == pytest.approx(targets[:5].numpy(), abs=0.5 / 255 + 1e-6)


def test_without_validation_images_a_share_of_each_class_validates() -> None:
    data = loaded((GREY, LABELS), val_fraction=0.2, seed=4)
    train, val = data.splits["train"].indices, data.splits["val"].indices
    assert sorted([*train, *val]) == list(range(60))
    assert np.bincount(LABELS[val]).tolist() == [4, 4, 4]
    assert len(data.splits["test"]) == 0
    assert val.tolist() != loaded((GREY, LABELS), val_fraction=0.2, seed=5).splits["val"].indices.tolist()


def test_classes_may_be_named() -> None:
    assert loaded((GREY, LABELS), class_names=["a", "b", "c", "d"]).class_names == ("a", "b", "c", "d")


def test_other_pixels_or_labels_are_other_data() -> None:
    changed, other = GREY.copy(), LABELS.copy()
    changed[7, 3, 3] ^= 1
    other[7] = (other[7] + 1) % 3
    digests = {
        nnkit.Data((images, labels)).nnkit_settings["digest"]
        for images, labels in ((GREY, LABELS), (GREY.copy(), LABELS), (changed, LABELS), (GREY, other))
    }
    assert len(digests) == 3


def test_floats_between_8_bit_values_are_rounded_aloud(caplog: pytest.LogCaptureFixture) -> None:
    data = loaded((GREY / 255 + 0.4 / 255 * (GREY < 255), LABELS), val=(GREY, LABELS))
    assert np.array_equal(np.stack(pixels(data, "train")), GREY[:, None])
    assert "rounded to 8 bits, which changes them by up to 0.40/255" in caplog.text


class Endless(IterableDataset[Any]):
    """It has no length."""

    def __iter__(self) -> Iterator[Any]:
        yield 0


MISTAKES: dict[str, tuple[Callable[[], object], str]] = {
    "no pair": (lambda: nnkit.Data(GREY), "train: expected a pair"),
    "nothing": (lambda: nnkit.Data(None), "train: there are no images to train on"),
    "no images": (lambda: nnkit.Data((GREY[:0], LABELS[:0])), "train: there are no images"),
    "no length": (lambda: nnkit.Data(Endless()), "train: the dataset Endless has no length"),
    "fewer targets": (lambda: nnkit.Data((GREY, LABELS[:3])), "train: there are 60 images and 3 targets"),
    "floats of 255": (lambda: nnkit.Data((GREY.astype(float), LABELS)), "floats from 0 to 255"),
    "normalised": (lambda: nnkit.Data((GREY / 255 - 0.5, LABELS)), r"expected \[0, 1\]"),
    "nan": (lambda: nnkit.Data((np.full((3, 4, 4), np.nan), [0, 1, 0])), r"expected \[0, 1\]"),
    "whole numbers": (lambda: nnkit.Data((GREY.astype(np.int64), LABELS)), "images of the type int64"),
    "flat": (lambda: nnkit.Data((GREY.reshape(60, -1), LABELS)), r"images of the shape \(60, 63\)"),
    "float classes": (lambda: nnkit.Data((GREY, LABELS.astype(float))), "and type float64"),
    "one-hot": (lambda: nnkit.Data((GREY, np.eye(3)[LABELS])), r"targets of the shape \(60, 3\)"),
    "negative": (lambda: nnkit.Data((GREY, LABELS - 1)), "a target is -1"),
    "too few names": (lambda: nnkit.Data((GREY, LABELS), class_names=["a"]), "class_names: there are 1"),
    "other channels": (lambda: nnkit.Data((GREY, LABELS), test=(COLOUR, LABELS)), "test: images of 3"),
    "other targets": (lambda: nnkit.Data((GREY, LABELS), val=(GREY, torch.rand(60, 1, 4, 4))), "val: "),
    "words": (lambda: nnkit.Data((GREY, ["a"] * 60)), "train: targets"),
    "sizes of a transform": (
        lambda: nnkit.Data(([GREY[0], GREY[1, :4]], torch.rand(2, 1, 3, 3)), val_fraction=0.5),
        "a transform needs images of one size",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_what_does_not_fit_is_named_with_what_was_expected(name: str) -> None:
    make, said = MISTAKES[name]
    with pytest.raises(UsageError, match=said):
        make()
