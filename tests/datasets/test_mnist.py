from __future__ import annotations

import hashlib
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import MNIST

from nnkit.datasets.mnist import Mnist
from nnkit.errors import DataError
from nnkit.types import DataPlace


def copy_of(data_root: Path, root: Path) -> Path:
    shutil.copytree(data_root / "MNIST" / "raw", root / "MNIST" / "raw", copy_function=shutil.copyfile)
    (root / "MNIST" / "raw").chmod(0o755)
    return root / "MNIST" / "raw"


def test_mnist_is_what_torchvision_reads(data_root: Path, cache_dir: Path) -> None:
    data = Mnist().load(DataPlace(data_root, cache_dir))
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 50_000,
        "val": 10_000,
        "test": 10_000,
    }
    train, test = (MNIST(data_root, train=train) for train in (True, False))
    images = data.splits["train"].images
    assert torch.equal(images.groups[(28, 28)][:, 0], torch.cat([train.data, test.data]))
    assert torch.equal(data.splits["train"].targets, torch.cat([train.targets, test.targets]))
    assert data.splits["val"].indices.tolist() == list(range(50_000, 60_000))
    assert data.class_names == tuple("0123456789")
    raw = data_root / "MNIST" / "raw"
    facts = {"train": "6bbc9ace898e44ae57da46a324031adb", "t10k": "2646ac647ad5339dbf082846283269ea"}
    for name, md5 in facts.items():
        assert hashlib.md5((raw / f"{name}-images-idx3-ubyte").read_bytes()).hexdigest() == md5


def test_a_missing_dataset_says_what_to_put_where(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="train-images-idx3-ubyte") as caught:
        Mnist().load(DataPlace(tmp_path, tmp_path))
    assert str(tmp_path / "MNIST" / "raw") in caught.value.message
    assert "--download" in caught.value.hint
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("damage", ["cut", "longer", "flip", "page"])
def test_a_damaged_file_is_named(data_root: Path, tmp_path: Path, damage: str) -> None:
    path = copy_of(data_root, tmp_path) / "t10k-images-idx3-ubyte"
    data = bytearray(path.read_bytes())
    data[5000] ^= damage == "flip"
    path.unlink()
    path.write_bytes(
        {"cut": data[:-1], "longer": data + b"x", "flip": data, "page": b"<html></html>"}[damage]
    )
    with pytest.raises(DataError, match="t10k-images-idx3-ubyte is damaged"):
        Mnist().load(DataPlace(tmp_path, tmp_path))


def test_offline_opens_no_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNKIT_OFFLINE", "1")
    monkeypatch.setattr(socket, "socket", None)
    with pytest.raises(DataError, match="NNKIT_OFFLINE"):
        Mnist().load(DataPlace(tmp_path, tmp_path, download=True))


@pytest.mark.parametrize("answer", ["page", "nothing"])
def test_a_bad_download_is_never_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    monkeypatch.delenv("NNKIT_OFFLINE", raising=False)
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    if answer == "page":
        for name, _ in MNIST.resources:
            (mirror / name).write_text("<html>gone</html>")
    monkeypatch.setattr(MNIST, "mirrors", [f"{mirror.as_uri()}/a/", f"{mirror.as_uri()}/"])
    with pytest.raises(DataError, match="download failed") as caught:
        Mnist().load(DataPlace(tmp_path / "root", tmp_path, download=True))
    assert mirror.as_uri() in caught.value.message
    if answer == "page":
        assert MNIST.resources[0][1] in caught.value.message
        assert hashlib.md5(b"<html>gone</html>").hexdigest() in caught.value.message
    assert not (tmp_path / "root").exists()


def test_a_download_comes_from_the_first_mirror_that_is_right(
    data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gzip

    monkeypatch.delenv("NNKIT_OFFLINE", raising=False)
    raw, mirror = data_root / "MNIST" / "raw", tmp_path / "mirror"
    mirror.mkdir()
    resources = []
    for name, _ in MNIST.resources:
        packed = gzip.compress((raw / name.removesuffix(".gz")).read_bytes(), 1)
        (mirror / name).write_bytes(packed)
        resources.append((name, hashlib.md5(packed).hexdigest()))
    monkeypatch.setattr(MNIST, "resources", resources)
    monkeypatch.setattr(MNIST, "mirrors", [f"{mirror.as_uri()}/dead/", f"{mirror.as_uri()}/"])
    data = Mnist().load(DataPlace(tmp_path / "root", tmp_path, download=True))
    assert len(data.splits["test"]) == 10_000
    names = sorted(path.name for path in (tmp_path / "root" / "MNIST" / "raw").iterdir())
    assert names == sorted(path.name for path in raw.iterdir() if path.name.endswith("ubyte"))
    assert np.array_equal(data.splits["test"].sizes[0], [28, 28])
