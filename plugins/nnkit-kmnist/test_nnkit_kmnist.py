"""nnkit's contract tests of KMNIST, on a few made files."""

from pathlib import Path

import numpy as np
import pytest
from nnkit_kmnist import Kmnist

from nnkit.errors import DataError
from nnkit.testing import DatasetContract
from nnkit.types import DataPlace


def write_files(root: Path, num_train: int = 30, num_test: int = 10) -> None:
    folder = root / "KMNIST" / "raw"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, num_images in (("train", num_train), ("t10k", num_test)):
        # The idx format: two zeros, 8 for bytes, the number of axes, each length big-endian.
        lengths = np.array([num_images, 28, 28], ">i4")
        pixels = rng.integers(0, 256, lengths, np.uint8)
        images = bytes([0, 0, 8, 3]) + lengths.tobytes() + pixels.tobytes()
        labels = bytes([0, 0, 8, 1]) + lengths[:1].tobytes() + bytes(at % 10 for at in range(num_images))
        (folder / f"{name}-images-idx3-ubyte").write_bytes(images)
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(labels)


class TestKmnist(DatasetContract):
    component = Kmnist

    def make_files(self, root: Path) -> None:
        write_files(root)


def test_the_last_sixth_of_the_training_images_validates(tmp_path: Path) -> None:
    write_files(tmp_path)
    data = Kmnist().load(DataPlace(root=tmp_path, cache=tmp_path))
    assert [len(data.splits[name]) for name in ("train", "val", "test")] == [25, 5, 10]
    assert data.splits["val"].indices.tolist() == [25, 26, 27, 28, 29]


def test_a_damaged_file_is_named_as_such(tmp_path: Path) -> None:
    write_files(tmp_path)
    path = tmp_path / "KMNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="damaged"):
        Kmnist().load(DataPlace(root=tmp_path, cache=tmp_path))


def test_offline_it_is_not_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNKIT_OFFLINE", "1")
    with pytest.raises(DataError, match="NNKIT_OFFLINE"):
        Kmnist().load(DataPlace(root=tmp_path, cache=tmp_path, download=True))
