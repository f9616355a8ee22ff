"""A checkpoint holds the whole state of a training, to the bit, and what it holds is enough to go on."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from nnkit.data import tensor_files
from nnkit.errors import CheckpointError
from nnkit.runs import training_state
from nnkit.runs.training_state import RunProgress
from nnkit.training.loop import EpochProgress, TrainState, make_ema
from tiny_plugin import TinyNet

OPTIMIZERS: dict[str, Callable[[Any], Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "plain-sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.8, 0.95), eps=1e-7),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.05, amsgrad=True),
    "fused-adam": lambda p: torch.optim.Adam(p, lr=0.01, fused=True),
    "rprop": lambda p: torch.optim.Rprop(p, lr=0.01),
    "nadam": lambda p: torch.optim.NAdam(p, lr=0.01),
    "adafactor": lambda p: torch.optim.Adafactor(p, lr=0.01),
    "asgd": lambda p: torch.optim.ASGD(p, lr=0.01),
}
SCHEDULES: dict[str, Callable[[Optimizer], LRScheduler | None]] = {
    "none": lambda optimizer: None,
    "cosine": lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20),
    "one-cycle": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.2, total_steps=20, cycle_momentum=False),
    "multi-step": lambda optimizer: torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 4, 6]),
    "sequential": lambda optimizer: torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LinearLR(optimizer, total_iters=3),
            torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9),
        ],
        [3],
    ),
}
PROGRESS = RunProgress(
    rules=[{"name": "patience", "state": {"bad": 1}}], best={"epoch": 0}, log_bytes=7, seconds=1.5
)


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


def assert_same(found: Any, expected: Any, place: str = "") -> None:
    """Equal to the bit, with the same names, types and shapes."""
    if isinstance(expected, Tensor):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), place
        assert torch.equal(found, expected), place
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys(), place
        for key, value in expected.items():
            assert_same(found[key], value, f"{place}.{key}")
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected), place
        for at, value in enumerate(expected):
            assert_same(found[at], value, f"{place}.{at}")
    else:
        assert found == expected, place


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_what_is_read_is_torchs_own_state_and_enough_to_resume(
    tmp_path: Path, optimizer: str, schedule: str, ema: float
) -> None:
    path, loss = tmp_path / "state.safetensors", nn.CrossEntropyLoss()
    state = fresh(optimizer, schedule, ema, seed=0)
    steps(state, 0, 5)
    state.epoch = 2
    training_state.save(path, state, loss, PROGRESS)
    saved = training_state.read(path)
    assert saved.run == PROGRESS
    assert (saved.parts["epoch"], saved.parts["step"]) == (2, 5)
    assert_same(saved.parts["model"], dict(state.model.state_dict()))
    assert_same(saved.parts["optimizer"], state.optimizer.state_dict())
    other = fresh(optimizer, schedule, ema, seed=1)
    saved.restore(other, loss)
    assert (other.epoch, other.step, other.progress) == (2, 5, None)
    assert steps(other, 5, 9) == steps(state, 5, 9)
    assert_same(dict(other.model.state_dict()), dict(state.model.state_dict()))
    if state.average is not None and other.average is not None:
        assert_same(dict(other.average.state_dict()), dict(state.average.state_dict()))


def test_the_history_of_lbfgs_is_part_of_the_state(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, inputs, targets = nn.Linear(3, 1), torch.randn(20, 3), torch.randn(20, 1)

    def step(state: TrainState) -> None:
        def closure() -> Tensor:
            state.optimizer.zero_grad()
            loss = nn.functional.mse_loss(state.model(inputs), targets)
            loss.backward()
            return loss

        state.optimizer.step(closure)  # type: ignore[arg-type]

    def made(model: nn.Module) -> TrainState:
        options = {"max_iter": 4, "history_size": 3, "line_search_fn": "strong_wolfe"}
        return TrainState(model, torch.optim.LBFGS(model.parameters(), **options))  # type: ignore[arg-type]

    state = made(model)
    step(state)
    training_state.save(tmp_path / "x", state, nn.MSELoss(), PROGRESS)
    saved = training_state.read(tmp_path / "x")
    assert len(saved.parts["optimizer"]["state"][0]["old_dirs"]) == 3
    other = made(nn.Linear(3, 1))
    saved.restore(other, nn.MSELoss())
    for run in (state, other):
        step(run)
    assert_same(dict(other.model.state_dict()), dict(state.model.state_dict()))


def test_the_epoch_under_way_is_part_of_the_state(tmp_path: Path) -> None:
    state = fresh("adam", "none", 0.0, seed=0)
    state.progress = EpochProgress(
        torch.tensor(1.25, dtype=torch.float64), torch.tensor(7), 3, 48, 0.5, 0.25, 2.0
    )
    training_state.save(tmp_path / "x", state, nn.CrossEntropyLoss(), PROGRESS)
    other = fresh("adam", "none", 0.0, seed=1)
    training_state.read(tmp_path / "x").restore(other, nn.CrossEntropyLoss())
    found = other.progress
    assert found is not None
    assert_same([found.loss, found.correct], [state.progress.loss, state.progress.correct])
    assert (found.batches, found.num_images, found.learning_rate, found.data_wait_s) == (3, 48, 0.5, 0.25)
    assert 2.0 <= found.elapsed_s < 10.0


class Hidden(nn.Module):
    """A model and a loss with buffers, one of which `state_dict` leaves out."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.register_buffer("kept", torch.full((2,), value))
        self.register_buffer("hidden", torch.full((3,), value), persistent=False)


def test_buffers_that_state_dict_leaves_out_and_those_of_the_loss_are_part_of_the_state(
    tmp_path: Path,
) -> None:
    model, loss = Hidden(1.0), Hidden(2.0)
    training_state.save(
        tmp_path / "x", TrainState(model, OPTIMIZERS["sgd"](model.parameters())), loss, PROGRESS
    )
    other, other_loss = Hidden(5.0), Hidden(6.0)
    state = TrainState(other, OPTIMIZERS["sgd"](other.parameters()))
    training_state.read(tmp_path / "x").restore(state, other_loss)
    assert_same(dict(other.named_buffers()), dict(model.named_buffers()))
    assert_same(dict(other_loss.named_buffers()), dict(loss.named_buffers()))


def test_a_file_that_is_no_checkpoint_is_refused_by_name(tmp_path: Path) -> None:
    state = fresh("adam", "cosine", 0.5, seed=0)
    training_state.save(tmp_path / "x", state, nn.CrossEntropyLoss(), PROGRESS)
    tensors, header = tensor_files.read(tmp_path / "x")
    changes: list[dict[str, Any]] = [
        {"format": 1}, {"state": None}, {"state": {}}, {"state": {"run": 3}}, {"state": [1]},
        {"state": {"run": {"$tensor": "nowhere"}}},
    ]  # fmt: skip
    for change in changes:
        tensor_files.save(tmp_path / "y", tensors, {**copy.deepcopy(header), **change})
        with pytest.raises(CheckpointError, match="y is damaged"):
            training_state.read(tmp_path / "y")
    with pytest.raises(CheckpointError, match="none is damaged"):
        training_state.read(tmp_path / "none")


@pytest.mark.parametrize("part", ["model", "optimizer", "schedule", "average"])
def test_a_state_of_other_components_does_not_fit_and_says_so(tmp_path: Path, part: str) -> None:
    state = fresh("adam", "cosine", 0.5, seed=0)
    steps(state, 0, 2)
    training_state.save(tmp_path / "x", state, nn.CrossEntropyLoss(), PROGRESS)
    saved = training_state.read(tmp_path / "x")
    damaged = {**saved.parts, part: None if part == "schedule" else {}}
    broken = training_state.SavedState(saved.path, damaged, saved.run)
    other = fresh("adam", "cosine", 0.5, seed=0)
    with pytest.raises(CheckpointError, match="x does not fit the model, optimizer or schedule"):
        broken.restore(other, nn.CrossEntropyLoss())
