from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from data.image_files import encoded, random_png, write_folder, write_tgz
from nnkit.datasets.image_folder import ImageFolder, class_folders
from nnkit.errors import DataError, UsageError
from nnkit.types import DataPlace


def pets(prefix: str = "", count: int = 20) -> dict[str, bytes]:
    return {
        f"{prefix}{kind}/{number:02}.png": random_png(number, 8 + number % 3, 9)
        for kind in ("cat", "dog")
        for number in range(count)
    }


@pytest.fixture
def place(tmp_path: Path) -> DataPlace:
    return DataPlace(tmp_path, tmp_path / "cache")


def test_each_folder_is_a_class(place: DataPlace) -> None:
    path = write_folder(place.root / "pets", pets() | {".hidden/x.png": b"x", "cat/.x.png": b"x"})
    data = ImageFolder(path=path).load(place)
    assert data.class_names == ("cat", "dog")
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 32, "val": 4, "test": 4}
    assert data.splits["train"].targets.tolist() == [0] * 20 + [1] * 20
    assert (data.in_channels, data.image_size) == (1, None)


@pytest.mark.parametrize("prefix", ["", "pets/"])
def test_train_and_test_folders_are_the_splits(place: DataPlace, prefix: str) -> None:
    files = pets(f"{prefix}train/") | pets(f"{prefix}test/", 5)
    path = write_tgz(place.root / "pets.tgz", files)
    data = ImageFolder(path=path, val_fraction=0.25).load(place)
    assert data.class_names == ("cat", "dog")
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 30, "val": 10, "test": 10}


def test_an_outer_folder_is_no_class() -> None:
    assert class_folders(["o/p/cat/1.png", "o/p/dog/x/2.png"]) == ["cat", "dog"]
    assert class_folders(["cat/1.png", "dog/2.png", "3.png"]) == ["cat", "dog", ""]


def test_one_colour_image_makes_all_colour(place: DataPlace) -> None:
    path = write_folder(place.root / "pets", pets() | {"cat/c.png": random_png(0, colour=True)})
    assert ImageFolder(path=path).load(place).in_channels == 3
    assert ImageFolder(path=path, channels=1).load(place).in_channels == 1


@pytest.mark.parametrize(
    ("mode", "size", "side"),
    [("resize", None, (9, 9)), ("resize", 5, (5, 5)), ("pad", None, (10, 9)), ("pad", 12, (12, 12))],
)
def test_modes_bring_all_to_one_size(
    place: DataPlace, mode: str, size: int | None, side: tuple[int, int]
) -> None:
    path = write_folder(place.root / "pets", pets())
    dataset = ImageFolder(path=path, mode=mode, size=size)  # type: ignore[arg-type]
    assert dataset.load(place).image_size == side
    assert dataset.default_model == "mnist-convnet"


def test_bad_images_are_named_once_and_left_out(place: DataPlace, caplog: pytest.LogCaptureFixture) -> None:
    bad = {"cat/empty.png": b"", "dog/page.png": b"<html>", "dog/cut.png": random_png(0, 40, 40)[:300]}
    path = write_folder(place.root / "pets", pets() | bad)
    for _ in range(2):
        caplog.clear()
        data = ImageFolder(path=path).load(place)
        assert sum(len(split) for split in data.splits.values()) == 40
        assert len(caplog.records) == 1
        for name in bad:
            assert caplog.text.count(name) == 1
            assert sum(name in note for note in data.notes) == 1


def test_a_class_of_bad_images_alone_is_an_error(place: DataPlace) -> None:
    path = write_folder(place.root / "pets", pets() | {"eel/1.png": b"x"})
    with pytest.raises(DataError, match=r"class eel.*eel/1\.png"):
        ImageFolder(path=path).load(place)


def test_what_has_no_classes_is_a_mistake_of_use(place: DataPlace) -> None:
    (place.root / "empty").mkdir()
    flat = write_folder(place.root / "flat", {"1.png": random_png(1), "2.png": random_png(2)})
    for path in (place.root / "empty", flat, place.root / "none"):
        with pytest.raises(UsageError) as caught:
            ImageFolder(path=path).load(place)
        assert str(path) in caught.value.message


def test_images_without_a_class_are_left_out(place: DataPlace) -> None:
    path = write_folder(place.root / "pets", pets() | {"loose.png": random_png(0)})
    data = ImageFolder(path=path).load(place)
    assert sum(len(split) for split in data.splits.values()) == 40
    assert any("1 images in no class" in note for note in data.notes)


def test_strange_shapes_are_resized(place: DataPlace) -> None:
    strange = {
        "cat/long.png": encoded(np.full((2000, 1), 7, np.uint8)),
        "dog/dot.png": encoded(np.full((1, 1), 9, np.uint8)),
    }
    path = write_folder(place.root / "pets", pets() | strange)
    data = ImageFolder(path=path, mode="resize", size=6).load(place)
    images = data.splits["train"].images
    assert images.image_size == (6, 6)
    assert torch.equal(images.image(20), torch.full((1, 6, 6), 7, dtype=torch.uint8))


@pytest.mark.parametrize(("mode", "size"), [("bucket", 5), ("resize", 1), ("resize", 10_000)])
def test_a_size_that_makes_no_sense_is_refused(mode: str, size: int) -> None:
    with pytest.raises(UsageError, match="size"):
        ImageFolder(path=Path("x"), mode=mode, size=size)  # type: ignore[arg-type]


def test_a_canvas_smaller_than_an_image_is_refused(place: DataPlace) -> None:
    path = write_folder(place.root / "pets", pets())
    with pytest.raises(UsageError, match="10×9"):
        ImageFolder(path=path, mode="pad", size=6).load(place)
