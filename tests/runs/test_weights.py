"""Weights and their card are kept to the bit, and a model is made of them from the registry alone."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

import nnkit
from checkpoint_files import best_file
from nnkit.data import tensor_files
from nnkit.data.images import Images
from nnkit.errors import CheckpointError, UsageError
from nnkit.runs import weights as weight_files
from nnkit.runs.weights import ModelCard, describe, load, load_bare, read_card
from nnkit.spec import Spec
from nnkit.types import Data, Split
from tiny_plugin import TinyNet, TinyPlugin


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A checkpoint as safetensors and json alone read it."""
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
        (text,) = file.metadata().values()
    return tensors, json.loads(text[text.index("{") :])


def assert_same(found: dict[str, Tensor], expected: dict[str, Any]) -> None:
    """Equal to the bit, with the same names, types and shapes."""
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert (found[key].dtype, found[key].shape) == (value.dtype, value.shape), key
        assert torch.equal(found[key], value), key


class Odd(nn.Module):
    """Weights that share memory, are strided, of several types, empty or scalar."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.tied = nn.Linear(3, 3)
        self.tied.weight = self.first.weight
        self.conv = nn.Conv2d(2, 3, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.norm = nn.BatchNorm2d(2)
        self.coarse = nn.Parameter(torch.randn(4).to(torch.bfloat16))
        self.register_buffer("scalar", torch.tensor(3, dtype=torch.int64))
        self.register_buffer("empty", torch.zeros(0, 2))
        self.register_buffer("view", torch.arange(12.0).view(3, 4).T)


CARD = ModelCard(
    model={"name": "tiny-net", "dropout": 0.5},
    known={"in_channels": 2, "image_size": (8, 6), "num_classes": 3},
    task="classification",
    class_names=("a", "b", "c"),
    mean=(0.25, 0.5),
    std=(0.1, 0.3),
    epoch=7,
    monitor="val_loss",
    metrics={"val_loss": 0.125, "by": {"8x6": 1}},
)


def test_best_weights_are_kept_to_the_bit_with_all_that_stands_on_the_card(tmp_path: Path) -> None:
    model, file = Odd(), tmp_path / "weights.safetensors"
    before = copy.deepcopy(model.state_dict())
    weight_files.save(file, model, CARD)
    tensors, header = read(file)
    assert_same(tensors, before)
    assert_same(dict(model.state_dict()), before)
    assert header["format"] == 1
    assert read_card(file) == CARD
    assert type(read_card(file).known["image_size"]) is tuple
    several = ModelCard(**{**vars(CARD), "known": {"in_channels": 2, "image_size": None}})
    weight_files.save(file, model, several)
    assert read_card(file).known == several.known


@pytest.mark.parametrize("task", ["classification", "transform"])
def test_a_card_says_what_a_model_was_trained_on(task: Any) -> None:
    held = Images.from_tensor(torch.zeros(2, 1, 4, 5, dtype=torch.uint8))
    data = Data(
        task,
        {"train": Split(held, torch.zeros(2), np.arange(2))},
        1,
        (4, 5),
        ("a", "b"),
        3,
        (2, 2),
        (0.5,),
        (0.25,),
    )
    metrics = {"val_loss": 1.0}
    card = describe(data, "net:x=1", epoch=4, monitor="val_loss", metrics=metrics)
    own = {"num_classes": 2} if task == "classification" else {"target_channels": 3, "target_size": (2, 2)}
    assert card == ModelCard(
        "net:x=1", {"in_channels": 1, "image_size": (4, 5), **own}, task, ("a", "b"), (0.5,), (0.25,), 4,
        "val_loss", {"val_loss": 1.0},
    )  # fmt: skip
    metrics["val_loss"] = 2.0
    assert card.metrics == {"val_loss": 1.0}


def saved(folder: Path, mean: tuple[float, ...], std: tuple[float, ...]) -> TinyNet:
    """A run's best weights of a network with dropout and statistics of its own."""
    torch.manual_seed(3)
    model = TinyNet(num_classes=3, dropout=0.5, norm=True)
    model.train()(torch.rand(16, 1, 8, 8))
    known = {"in_channels": 1, "num_classes": 3, "image_size": (8, 8)}
    spec = {"name": "tiny-net", "dropout": 0.5, "norm": True}
    path = folder / "checkpoints/best-00000001/weights.safetensors"
    weight_files.save(path, model, ModelCard(spec, known, "classification", tuple("abc"), mean, std))
    return model


@pytest.mark.parametrize(("mean", "std"), [((0.4,), (0.3,)), ((0.0,), (1.0,)), ((), ())])
def test_a_loaded_model_takes_images_in_0_to_1_and_is_in_eval_mode_throughout(
    tiny: TinyPlugin, tmp_path: Path, mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    model = saved(tmp_path, mean, std)
    images = torch.rand(5, 1, 8, 8)
    for loaded in (load(tmp_path), load(str(best_file(tmp_path))), nnkit.load(tmp_path)):
        assert not [name for name, module in loaded.named_modules() if module.training]
        with torch.no_grad():
            expected = model.eval()((images - mean[0]) / std[0] if mean else images)
            assert torch.equal(loaded(images), expected)
            assert torch.equal(loaded(images), expected), "nothing is random in eval mode"
    bare, card = load_bare(tmp_path)
    assert not [name for name, module in bare.named_modules() if module.training]
    assert (card.mean, card.std) == (mean, std)
    assert_same(dict(bare.state_dict()), model.state_dict())


def test_channels_are_normalised_each_by_its_own() -> None:
    normalize = weight_files.Normalize((0.5, 0.25), (0.5, 0.125))
    images = torch.stack([torch.ones(2, 3), torch.full((2, 3), 0.5)])[None]
    assert normalize(images).tolist() == [[[[1.0] * 3] * 2, [[2.0] * 3] * 2]]
    assert set(normalize.state_dict()) == {"mean", "std"}


def test_what_is_no_run_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no run at") as caught:
        load(tmp_path / "none")
    assert "nnkit runs list" in caught.value.hint
    (tmp_path / "weights.pt").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"no \.safetensors file"):
        load(tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match="holds no") as missing:
        load(tmp_path)
    assert str(tmp_path) in missing.value.message


def test_a_file_of_more_than_8_gib_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    for size, why in ((8 << 30, "header|invalid|Header"), ((8 << 30) + 1, "larger than 8 GiB")):
        with path.open("wb") as file:
            file.truncate(size)  # a sparse file
        with pytest.raises(CheckpointError, match=why):
            read_card(path)


def test_weights_of_another_network_are_refused_by_name(tiny: TinyPlugin, tmp_path: Path) -> None:
    saved(tmp_path, (), ())
    path = best_file(tmp_path)
    tensors, header = tensor_files.read(path)
    for change, why in (
        ({**tensors, "more": torch.zeros(1)}, "TinyNet"),
        ({key: value for key, value in tensors.items() if key != "conv.bias"}, "TinyNet"),
    ):
        tensor_files.save(path, change, header)
        with pytest.raises(CheckpointError, match=why) as caught:
            load(tmp_path)
        assert str(path) in caught.value.message
    tensor_files.save(path, tensors, {**header, "model": str(Spec("tiny-net", {"norm": 3}))})
    with pytest.raises(UsageError) as wrong:
        load(tmp_path)
    assert wrong.value.message.startswith(f"{path}: model.norm")
    for change_of_header in (
        {"mean": [0.5]},
        {"std": [0.5]},
        {"mean": [0.5] * 2, "std": [0.5] * 2},
        {"format": 2},
    ):
        tensor_files.save(path, tensors, {**header, **change_of_header})
        with pytest.raises(CheckpointError, match="no checkpoint of nnkit, or damaged"):
            read_card(tmp_path)
    for key in ("known", "task", "class_names", "mean", "std", "epoch", "monitor", "metrics", "model"):
        less = {name: value for name, value in header.items() if name != key}
        tensor_files.save(path, tensors, less)
        with pytest.raises(CheckpointError, match=f"its header lacks '{key}'"):
            read_card(tmp_path)
