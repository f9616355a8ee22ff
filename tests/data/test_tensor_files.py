from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from data.image_files import mutated
from nnkit.data import tensor_files

TENSORS = {
    "half": torch.arange(6).reshape(2, 3).to(torch.bfloat16),
    "flag": torch.tensor([True, False]),
    "scalar": torch.tensor(3),
    "empty": torch.zeros(0, 4),
    "turned": torch.arange(6.0).reshape(2, 3).T,
}


def test_tensors_and_header_come_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.safetensors"
    tensor_files.save(path, TENSORS, {"epoch": 3, "nan": float("nan"), "text": "é\ud800"})
    tensors, header = tensor_files.read(path)
    assert header == tensor_files.read_header(path)
    assert (header["epoch"], header["nan"]) == (3, None)
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        tensor_files.save(tmp_path / name, TENSORS, {"x": 1, "y": 2, "z": 3})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_every_mutation_is_noticed(tmp_path: Path) -> None:
    path, rng = tmp_path / "x", np.random.default_rng(0)
    tensor_files.save(path, TENSORS, {"x": "y" * 50})
    whole = path.read_bytes()
    for _ in range(200):
        changed = mutated(whole, rng)
        path.write_bytes(changed)
        if changed != whole:
            with pytest.raises(ValueError, match=r"."):
                tensor_files.read(path)


def test_a_file_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        tensor_files.read(tmp_path / "none")


def test_a_file_of_other_makers_is_told_from_ours(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "x")
    with pytest.raises(ValueError, match="not nnkit's"):
        tensor_files.read(tmp_path / "x")
