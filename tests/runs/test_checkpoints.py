"""Checkpoints hold the whole state of a run, to the bit, and what they hold is enough to go on."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

import nnkit
from nnkit.data.images import Images
from nnkit.errors import CheckpointError, UsageError
from nnkit.runs import checkpoints
from nnkit.runs.checkpoints import ModelCard, describe, load, load_bare, read_card, save_best, save_last
from nnkit.spec import Spec
from nnkit.stopping_rules.patience import Patience
from nnkit.training.loop import TrainState, make_ema
from nnkit.types import Data, EpochResult, Split
from tiny_plugin import TinyNet, TinyPlugin

OPTIMIZERS: dict[str, Callable[[Any], Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "plain-sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.8, 0.95), eps=1e-7),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.05, amsgrad=True),
}
SCHEDULES: dict[str, Callable[[Optimizer], LRScheduler | None]] = {
    "none": lambda optimizer: None,
    "cosine": lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20),
    "one-cycle": lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.2, total_steps=20),
}


def fresh(optimizer: str, schedule: str, ema: float, seed: int) -> TrainState:
    torch.manual_seed(seed)
    model = TinyNet(num_classes=3, norm=True)
    made = OPTIMIZERS[optimizer](model.parameters())
    return TrainState(model, made, SCHEDULES[schedule](made), make_ema(model, ema))


def steps(state: TrainState, first: int, last: int) -> list[float]:
    """Train on random batches, the same for the same numbers; the learning rates used."""
    rates = []
    for number in range(first, last):
        generator = torch.Generator().manual_seed(number)
        inputs, targets = torch.rand(8, 1, 8, 8, generator=generator), torch.arange(8) % 3
        state.optimizer.zero_grad()
        nn.functional.cross_entropy(state.model.train()(inputs), targets).backward()
        rates.append(state.optimizer.param_groups[0]["lr"])
        state.optimizer.step()
        if state.schedule is not None:
            state.schedule.step()
        if state.average is not None:
            state.average.update_parameters(state.model)
        state.step += 1
    return rates


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A checkpoint as safetensors and json alone read it."""
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
        (text,) = file.metadata().values()
    return tensors, json.loads(text[text.index("{") :])


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def assert_same(found: dict[str, Tensor], expected: dict[str, Any]) -> None:
    """Equal to the bit, with the same names, types and shapes."""
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert (found[key].dtype, found[key].shape) == (value.dtype, value.shape), key
        assert torch.equal(found[key], value), key


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_what_last_holds_is_torchs_own_state_and_enough_to_go_on(
    tmp_path: Path, optimizer: str, schedule: str, ema: float
) -> None:
    state = fresh(optimizer, schedule, ema, seed=0)
    steps(state, 0, 5)
    state.epoch = 2
    save_last(tmp_path, state, {"stop": [{"name": "patience", "state": {"bad": 1}}]})
    tensors, header = read(tmp_path / checkpoints.LAST)
    assert (header["format"], header["epoch"], header["step"]) == (1, 2, 5)
    assert header["stop"] == [{"name": "patience", "state": {"bad": 1}}]
    assert_same(part(tensors, "model."), state.model.state_dict())
    assert_same(part(tensors, "average."), state.average.state_dict() if state.average is not None else {})
    held = state.optimizer.state_dict()
    groups = header["optimizer"]["param_groups"]
    for group in groups:
        group.update({"betas": tuple(group["betas"])} if "betas" in group else {})
    assert groups == held["param_groups"]
    slots = {
        f"{index}.{key}": value
        for index, values in held["state"].items()
        for key, value in values.items()
        if value is not None
    }
    assert_same(part(tensors, "optimizer."), slots)
    assert not header["optimizer"]["scalars"], "all that these optimizers remember are tensors"
    assert len(tensors) == sum(len(part(tensors, f"{name}.")) for name in ("model", "average", "optimizer"))

    other = fresh(optimizer, schedule, ema, seed=1)
    other.model.load_state_dict(part(tensors, "model."))
    if other.average is not None:
        other.average.load_state_dict(part(tensors, "average."))
    slot: dict[int, dict[str, Tensor]] = {}
    for name, value in part(tensors, "optimizer.").items():
        slot.setdefault(int(name.split(".")[0]), {})[name.split(".", 1)[1]] = value
    remembered = slot or {index: {"momentum_buffer": None} for index in held["state"]}
    other.optimizer.load_state_dict({"state": remembered, "param_groups": groups})
    if other.schedule is not None:
        other.schedule.load_state_dict({**other.schedule.state_dict(), **header["schedule"]})
    assert steps(other, 5, 9) == steps(state, 5, 9)
    assert_same(dict(other.model.state_dict()), state.model.state_dict())
    if state.average is not None and other.average is not None:
        assert_same(dict(other.average.state_dict()), state.average.state_dict())


def test_the_history_of_lbfgs_is_part_of_the_state(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    inputs, targets = torch.randn(20, 3), torch.randn(20, 1)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=4, history_size=3)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(inputs), targets)
        loss.backward()
        return loss

    optimizer.step(closure)  # type: ignore[arg-type]
    save_last(tmp_path, TrainState(model, optimizer, None, None), {})
    tensors, header = read(tmp_path / checkpoints.LAST)
    (held,) = optimizer.state_dict()["state"].values()
    for name in ("old_dirs", "old_stps", "ro"):
        assert len(held[name]) == 3
        for place, value in enumerate(held[name]):
            assert torch.equal(tensors[f"optimizer.0.{name}.{place}"], value)
    assert header["optimizer"]["scalars"]["0"]["n_iter"] == 4


class Counting(torch.optim.SGD):
    """An optimizer that remembers plain values beside tensors."""

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        super().step(closure)
        for number, parameter in enumerate(self.param_groups[0]["params"]):
            self.state[parameter].update(count=number, rate=0.5, mode="x", late=True, thing=object())


def test_plain_values_of_an_optimizer_and_a_schedule_stand_in_the_header(tmp_path: Path) -> None:
    state = fresh("sgd", "none", 0.0, seed=0)
    state.optimizer = Counting(state.model.parameters(), lr=0.1, momentum=0.9)
    state.schedule = torch.optim.lr_scheduler.MultiStepLR(state.optimizer, [2, 4])
    steps(state, 0, 3)
    save_last(tmp_path, state, {})
    tensors, header = read(tmp_path / checkpoints.LAST)
    count = len(list(state.model.parameters()))
    expected = {str(n): {"count": n, "rate": 0.5, "mode": "x", "late": True} for n in range(count)}
    assert header["optimizer"]["scalars"] == expected
    assert set(part(tensors, "optimizer.")) == {f"{n}.momentum_buffer" for n in range(count)}
    held = state.schedule.state_dict()
    plain = {key: value for key, value in held.items() if isinstance(value, (int, float, str, list))}
    assert header["schedule"] == plain
    assert plain["last_epoch"] == 3
    state.schedule = None
    save_last(tmp_path, state, {})
    assert read(tmp_path / checkpoints.LAST)[1]["schedule"] == {}


def test_a_run_leaves_its_last_state_with_the_memory_of_its_rules(
    tiny: TinyPlugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])
    rules = ["patience:metric=val_loss,patience=9", "threshold:metric=val_loss,below=0.0"]
    result = nnkit.train(
        dataset="tiny", epochs=3, batch_size=16, lr=0.05, stop=rules, ema=0.5, test=False, runs_dir=tiny.runs
    )
    tensors, header = read(result.run_dir / checkpoints.LAST)
    lines = map(json.loads, (result.run_dir / "metrics.jsonl").read_text().splitlines())
    rule = Patience(metric="val_loss", patience=9)
    for line in [line for line in lines if line["kind"] == "epoch"]:
        rule.update(EpochResult(line["epoch"], line["step"], line["metrics"]))
    assert header["stop"] == [
        {"name": "patience", "state": rule.state_dict()},
        {"name": "threshold", "state": {}},
    ]
    assert (header["epoch"], header["step"]) == (3, 18)
    assert all(int(tensors[f"optimizer.{index}.step"]) == 18 for index in range(4))
    assert all(float(tensors[f"optimizer.{index}.exp_avg_sq"].abs().sum()) > 0 for index in range(4))
    assert int(tensors["average.n_averaged"]) == 18
    average = part(tensors, "average.module.")
    assert any(not torch.equal(tensors[f"model.{key}"], value) for key, value in average.items())


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
    model = Odd()
    before = copy.deepcopy(model.state_dict())
    save_best(tmp_path, model, CARD)
    tensors, header = read(tmp_path / checkpoints.BEST)
    assert_same(tensors, before)
    assert_same(dict(model.state_dict()), before)
    assert header["format"] == 1
    assert read_card(tmp_path) == CARD
    assert read_card(tmp_path / checkpoints.BEST) == CARD
    assert type(read_card(tmp_path).known["image_size"]) is tuple
    several = ModelCard(**{**vars(CARD), "known": {"in_channels": 2, "image_size": None}})
    save_best(tmp_path, model, several)
    assert read_card(tmp_path).known == several.known


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
    save_best(folder, model, ModelCard(spec, known, "classification", tuple("abc"), mean, std))
    return model


@pytest.mark.parametrize(("mean", "std"), [((0.4,), (0.3,)), ((0.0,), (1.0,)), ((), ())])
def test_a_loaded_model_takes_images_in_0_to_1_and_is_in_eval_mode_throughout(
    tiny: TinyPlugin, tmp_path: Path, mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    model = saved(tmp_path, mean, std)
    images = torch.rand(5, 1, 8, 8)
    for loaded in (load(tmp_path), load(str(tmp_path / checkpoints.BEST)), nnkit.load(tmp_path)):
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
    normalize = checkpoints.Normalize((0.5, 0.25), (0.5, 0.125))
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
    path = tmp_path / checkpoints.BEST
    tensors, header = checkpoints.tensor_files.read(path)
    for change, why in (
        ({**tensors, "more": torch.zeros(1)}, "TinyNet"),
        ({key: value for key, value in tensors.items() if key != "conv.bias"}, "TinyNet"),
    ):
        checkpoints.tensor_files.save(path, change, header)
        with pytest.raises(CheckpointError, match=why) as caught:
            load(tmp_path)
        assert str(path) in caught.value.message
    checkpoints.tensor_files.save(path, tensors, {**header, "model": str(Spec("tiny-net", {"norm": 3}))})
    with pytest.raises(UsageError) as wrong:
        load(tmp_path)
    assert wrong.value.message.startswith(f"{path}: model.norm")
    for change_of_header in (
        {"mean": [0.5]},
        {"std": [0.5]},
        {"mean": [0.5] * 2, "std": [0.5] * 2},
        {"format": 2},
    ):
        checkpoints.tensor_files.save(path, tensors, {**header, **change_of_header})
        with pytest.raises(CheckpointError, match="no checkpoint of nnkit, or damaged"):
            read_card(tmp_path)
    for key in ("known", "task", "class_names", "mean", "std", "epoch", "monitor", "metrics", "model"):
        less = {name: value for name, value in header.items() if name != key}
        checkpoints.tensor_files.save(path, tensors, less)
        with pytest.raises(CheckpointError, match=f"its header lacks '{key}'"):
            read_card(tmp_path)
