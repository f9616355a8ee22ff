from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from data.image_files import encoded, random_png, write_folder, write_tgz
from nnkit.data.images import Images
from nnkit.datasets.image_folder import ImageFolder
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


def drawn(images: Images, index: int) -> np.ndarray:
    pixels: np.ndarray = images.image(index)[0].numpy()
    return pixels


@pytest.mark.parametrize("layout", ["classes", "splits"])
def test_each_image_has_the_label_of_its_folder_and_is_in_the_split_of_its_folder(
    place: DataPlace, layout: str
) -> None:
    kinds, prefixes = ["eel", "ant", "cow"], ["train/", "val/", "test/"] if layout == "splits" else [""]
    files = {
        f"{prefix}{kind}/{number}.png": encoded(np.full((4, 4), 50 * split + 10 * label + number, np.uint8))
        for split, prefix in enumerate(prefixes)
        for label, kind in enumerate(sorted(kinds))
        for number in range(6)
    }
    data = ImageFolder(path=write_folder(place.root / "x", files)).load(place)
    assert data.class_names == ("ant", "cow", "eel")
    seen = []
    for number, name in enumerate(("train", "val", "test")):
        split = data.splits[name]
        for index in split.indices:
            level = int(drawn(split.images, index)[0, 0])
            assert split.targets[index] == level % 50 // 10
            assert layout == "classes" or level // 50 == number
            seen.append(level)
    assert len(seen) == len(files) == len(set(seen))


def test_the_seed_and_the_share_choose_what_validates(place: DataPlace) -> None:
    path = write_folder(place.root / "pets", pets("train/") | pets("test/", 5))
    chosen = [
        ImageFolder(path=path, val_fraction=share, seed=seed).load(place).splits["val"].indices.tolist()
        for share, seed in ((0.1, 0), (0.1, 0), (0.1, 1), (0.5, 0))
    ]
    assert chosen[0] == chosen[1] != chosen[2]
    assert [len(part) for part in chosen] == [4, 4, 4, 20]


def test_a_changed_file_is_read_anew(place: DataPlace) -> None:
    path = write_folder(place.root / "pets", pets())
    before = ImageFolder(path=path).load(place).splits["train"].images.image(0)
    (path / "cat" / "00.png").write_bytes(random_png(77, 8, 9))
    after = ImageFolder(path=path).load(place).splits["train"].images.image(0)
    assert not torch.equal(before, after)


def test_one_colour_image_makes_all_colour(place: DataPlace) -> None:
    path = write_folder(place.root / "pets", pets() | {"cat/c.png": random_png(0, colour=True)})
    assert ImageFolder(path=path).load(place).in_channels == 3
    assert ImageFolder(path=path, channels=1).load(place).in_channels == 1


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


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_train_and_val_without_test_are_splits_and_no_classes_and_this_is_said(
    place: DataPlace, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    path = write_folder(place.root / "pets", pets("train/") | pets(f"{name}/", 5))
    data = ImageFolder(path=path).load(place)
    assert data.class_names == ("cat", "dog")
    assert {split: len(part) for split, part in data.splits.items()} == {"train": 40, "val": 10, "test": 0}
    assert caplog.text.count("no folder test/") == 1
    assert any("no folder test/" in note for note in data.notes)


def test_classes_called_train_and_test_are_classes_beside_others(place: DataPlace) -> None:
    files = {f"{kind}/{k}.png": random_png(k) for kind in ("train", "test", "bus") for k in range(10)}
    data = ImageFolder(path=write_folder(place.root / "traffic", files)).load(place)
    assert data.class_names == ("bus", "test", "train")
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 24, "val": 3, "test": 3}


def test_images_in_train_and_val_themselves_are_no_classes(place: DataPlace) -> None:
    path = write_folder(
        place.root / "x", {f"{k}/{n}.png": random_png(n) for k in ("train", "val") for n in range(9)}
    )
    with pytest.raises(UsageError, match="no classes"):
        ImageFolder(path=path).load(place)


def test_what_is_left_out_is_named(place: DataPlace, caplog: pytest.LogCaptureFixture) -> None:
    stray = {f"extra/{number}.png": random_png(number) for number in range(7)}
    path = write_folder(place.root / "pets", pets("train/") | pets("test/", 5) | stray)
    assert sum(len(split) for split in ImageFolder(path=path).load(place).splits.values()) == 50
    assert "7 images in no class folder are left out: extra/0.png" in caplog.text
    assert "and 2 more" in caplog.text


def test_a_small_class_is_in_every_split(place: DataPlace) -> None:
    rare = {f"eel/{number}.png": random_png(number) for number in range(3)}
    path = write_folder(place.root / "pets", pets("", 100) | rare)
    for seed in range(5):
        data = ImageFolder(path=path, seed=seed).load(place)
        for split in data.splits.values():
            assert (split.targets[torch.from_numpy(split.indices)] == 2).sum() == 1


@pytest.mark.parametrize("suffix", [".tar", ".zip"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_two_members_of_one_name_the_last_counts(place: DataPlace, suffix: str) -> None:
    files = [(name, data) for name, data in pets("", 3).items()]
    files += [("cat/00.png", encoded(np.full((5, 6), 9, np.uint8))), ("dog/01.png", random_png(1))]
    path = place.root / f"pets{suffix}"
    if suffix == ".tar":
        with tarfile.open(path, "w") as archive:
            for name, content in files:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    else:
        with zipfile.ZipFile(path, "w") as packed:
            for name, content in files:
                packed.writestr(name, content)
    data = ImageFolder(path=path).load(place)
    assert sum(len(split) for split in data.splits.values()) == 6
    assert drawn(data.splits["train"].images, 0).shape == (5, 6)  # type: ignore[arg-type]
