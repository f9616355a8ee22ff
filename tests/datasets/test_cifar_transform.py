from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10

from data.image_files import random_png, write_folder, write_tgz, write_zip
from nnkit.datasets.cifar_transform import CifarTransform
from nnkit.errors import DataError, UsageError
from nnkit.surrogates.pipelines import parse_pipeline
from nnkit.surrogates.pipelines.analysis import analyse
from nnkit.types import DataPlace


def small_cifar10(root: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Batches of 10 images in CIFAR-10's own format, whose checksums torchvision is made to expect."""
    folder = root / CIFAR10.base_folder
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (6, 10, 3072), np.uint8)
    names = [name for name, _ in CIFAR10.train_list + CIFAR10.test_list]
    md5 = {}
    for name, data in zip(names, pixels, strict=True):
        content = pickle.dumps({"data": data, "labels": [0] * 10})
        (folder / name).write_bytes(content)
        md5[name] = hashlib.md5(content).hexdigest()
    meta = pickle.dumps({"label_names": list("abcdefghij")})
    (folder / "batches.meta").write_bytes(meta)
    monkeypatch.setattr(CIFAR10, "train_list", [[name, md5[name]] for name in names[:5]])
    monkeypatch.setattr(CIFAR10, "test_list", [[name, md5[name]] for name in names[5:]])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": hashlib.md5(meta).hexdigest()})
    return pixels.reshape(60, 3, 32, 32)


def test_cifar10_is_read_in_its_own_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = small_cifar10(tmp_path, monkeypatch)
    data = CifarTransform().load(DataPlace(tmp_path, tmp_path))
    split = data.splits["train"]
    assert np.array_equal(split.images.groups[(32, 32)].numpy(), pixels)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 45, "val": 5, "test": 10}
    expected = parse_pipeline("reference").apply(torch.from_numpy(pixels))
    assert torch.equal(split.targets, expected)
    assert (data.target_channels, data.target_size) == (1, (28, 28))
    assert (data.mean, data.std) == ((0.0,) * 3, (1.0,) * 3)


def test_a_batch_with_another_checksum_is_never_unpickled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_cifar10(tmp_path, monkeypatch)
    (tmp_path / CIFAR10.base_folder / "data_batch_3").write_bytes(b"cos\nabort\n(tR.")
    with pytest.raises(DataError, match="data_batch_3 is damaged"):
        CifarTransform().load(DataPlace(tmp_path, tmp_path))


def test_a_missing_cifar10_points_to_the_images_that_are_there(tmp_path: Path) -> None:
    place = DataPlace(tmp_path, tmp_path)
    with pytest.raises(DataError, match="missing") as caught:
        CifarTransform().load(place)
    assert "cifar10-images.tgz" not in caught.value.hint
    (tmp_path / "cifar10-images.tgz").write_bytes(b"")
    with pytest.raises(DataError, match="missing") as caught:
        CifarTransform().load(place)
    assert "source=cifar10-images.tgz" in caught.value.hint


def photographs(*folders: str, count: int = 20) -> dict[str, bytes]:
    return {
        f"{folder}/{number:02}.png": random_png(number, colour=True)
        for folder in folders
        for number in range(count)
    }


@pytest.mark.parametrize("write", [write_tgz, write_zip, write_folder])
def test_a_path_is_looked_for_in_the_data_root_too(tmp_path: Path, write: object) -> None:
    name = {write_tgz: "own.tgz", write_zip: "own.zip", write_folder: "own"}[write]  # type: ignore[index]
    write(tmp_path / name, photographs("x/train/cat", "x/test/cat", "x/extra"))  # type: ignore[operator]
    data = CifarTransform(source=name).load(DataPlace(tmp_path, tmp_path / "cache"))
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 18, "val": 2, "test": 20}
    assert any("20 images outside" in note for note in data.notes)


def test_without_train_and_test_the_seed_splits(tmp_path: Path) -> None:
    write_folder(tmp_path / "own", photographs("a", "b", count=50))
    place = DataPlace(tmp_path, tmp_path / "cache")
    data = CifarTransform(source=str(tmp_path / "own")).load(place)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 80, "val": 10, "test": 10}
    everything = np.concatenate([split.indices for split in data.splits.values()])
    assert np.array_equal(np.sort(everything), np.arange(100))


def test_the_seed_and_the_share_choose_what_validates(tmp_path: Path) -> None:
    write_folder(tmp_path / "own", photographs("train", "test"))
    place = DataPlace(tmp_path, tmp_path / "cache")
    chosen = [
        CifarTransform(source="own", val_fraction=share, seed=seed).load(place).splits["val"].indices.tolist()
        for share, seed in ((0.25, 0), (0.25, 0), (0.25, 1), (0.5, 0))
    ]
    assert chosen[0] == chosen[1] != chosen[2]
    assert [len(part) for part in chosen] == [5, 5, 5, 10]


@pytest.mark.parametrize(
    "settings",
    [
        {"pipeline": "resize(5)"},
        {"pipeline": "resize(5)", "antialias": False},
        {"pipeline": "resize(5),grayscale", "dtype": "uint8"},
        {"pipeline": "resize(5,3),hflip", "backend": "pil"},
    ],
)
def test_targets_are_what_the_pipeline_makes_of_the_images(tmp_path: Path, settings: dict[str, Any]) -> None:
    write_folder(tmp_path / "own", photographs("train", "test", count=6))
    data = CifarTransform(source="own", **settings).load(DataPlace(tmp_path, tmp_path / "cache"))
    split = data.splits["train"]
    images = split.images.groups[(8, 8)]
    expected = parse_pipeline(settings.pop("pipeline"), **settings).apply(images)
    assert torch.equal(split.targets, expected)
    assert (data.target_channels, data.target_size) == (expected.shape[1], tuple(expected.shape[2:]))
    assert (data.in_channels, data.image_size) == (3, (8, 8))


def test_several_sizes_are_listed(tmp_path: Path) -> None:
    write_folder(tmp_path / "own", photographs("a") | {"a/x.png": random_png(0, 5, 6)})
    with pytest.raises(UsageError, match=r"1 of 5×6, 20 of 8×8"):
        CifarTransform(source="own").load(DataPlace(tmp_path, tmp_path / "cache"))


def test_a_path_that_is_not_there_is_a_mistake_of_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.tgz is not there") as caught:
        CifarTransform(source="none.tgz").load(DataPlace(tmp_path, tmp_path))
    assert caught.value.exit_code == 2


def test_a_wrong_pipeline_is_told_before_anything_is_loaded() -> None:
    with pytest.raises(UsageError, match="unknown"):
        CifarTransform(pipeline="resise(28)")


def test_synthetic_images_need_no_file_and_are_smooth(tmp_path: Path) -> None:
    first, again = (CifarTransform(source="synthetic").load(DataPlace(tmp_path, tmp_path)) for _ in range(2))
    assert {name: len(split) for name, split in first.splits.items()} == {
        "train": 9_000,
        "val": 1_000,
        "test": 2_000,
    }
    images = first.splits["train"].images.groups[(32, 32)]
    assert torch.equal(images, again.splits["train"].images.groups[(32, 32)])
    assert torch.equal(first.splits["train"].targets, again.splits["train"].targets)
    assert torch.equal(first.splits["train"].targets, parse_pipeline("reference").apply(images))
    assert first.splits["test"].indices.tolist() == list(range(10_000, 12_000))
    together = np.concatenate([first.splits[name].indices for name in ("train", "val")])
    assert np.array_equal(np.sort(together), np.arange(10_000))
    levels = images.float()
    assert levels.diff(dim=3).abs().mean() < 0.25 * levels.std()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_photographs_of_the_data_root_are_split_by_their_folders(
    data_root: Path, cache_dir: Path
) -> None:
    data = CifarTransform(source="cifar10-images.tgz").load(DataPlace(data_root, cache_dir))
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 45_000,
        "val": 5_000,
        "test": 10_000,
    }
    assert data.image_size == (32, 32)
    assert data.splits["train"].targets.shape == (60_000, 1, 28, 28)


def test_targets_that_no_memory_holds_are_refused_before_they_are_made(tmp_path: Path) -> None:
    place = DataPlace(root=tmp_path, cache=tmp_path)
    with pytest.raises(UsageError, match="134 GiB"):
        CifarTransform(source="synthetic", pipeline="resize(1000)").load(place)


@pytest.mark.parametrize(
    ("pipeline", "model"),
    [
        ("reference", "separable"),
        ("resize(112),grayscale,blur(3,0.9),pad(2)", "separable"),
        ("rotate90", "conv-linear"),
        ("resize(20),normalize(0.5,2)", "conv-linear"),
        ("brightness(1.5)", "conv-linear"),
    ],
)
def test_the_default_model_is_small_where_the_pipeline_is_separable(pipeline: str, model: str) -> None:
    assert CifarTransform(source="synthetic", pipeline=pipeline).default_model == model
    if "rotate90" not in pipeline:
        found = analyse(parse_pipeline(pipeline), (3, 40, 40))
        assert (found.separable and found.linear) == (model == "separable")


def test_8_bit_pipelines_are_not_separable_and_keep_their_model() -> None:
    assert CifarTransform(source="synthetic", dtype="uint8").default_model == "conv-linear"
