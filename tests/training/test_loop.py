from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from nnkit.data.loaders import EvalLoader, TrainLoader
from nnkit.errors import DivergedError
from nnkit.training.loop import Recipe, TrainState, finite_weights, fit, make_ema, seed_step
from nnkit.types import EpochResult, StepResult
from tiny_plugin import Tiny, TinyNet

CPU = torch.device("cpu")


def start(
    model: nn.Module, epochs: int = 2, ema: float = 0.0
) -> tuple[TrainState, list[StepResult | EpochResult]]:
    data = Tiny().load(None)  # type: ignore[arg-type]
    train = TrainLoader(data, data.splits["train"], batch_size=20, device=CPU)
    val = EvalLoader(data, data.splits["val"], batch_size=20, device=CPU)
    state = TrainState(model, torch.optim.SGD(model.parameters(), lr=0.1), average=make_ema(model, ema))
    return state, list(fit(state, model, nn.CrossEntropyLoss(), data, train, val, Recipe(epochs)))


def test_the_loop_yields_each_step_then_its_epoch() -> None:
    state, events = start(TinyNet(num_classes=3))
    kinds = ["epoch" if isinstance(event, EpochResult) else "step" for event in events]
    assert kinds == (["step"] * 5 + ["epoch"]) * 2
    assert [event.step for event in events] == [1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10, 10]
    assert (state.epoch, state.step) == (2, 10)
    assert sum(event.num_images for event in events[:5]) == 90  # type: ignore[union-attr]


def test_the_training_loss_counts_each_image_once() -> None:
    _, events = start(TinyNet(num_classes=3), epochs=1)
    steps = [event for event in events if isinstance(event, StepResult)]
    total = sum(float(step.loss) * step.num_images for step in steps)
    assert isinstance(events[-1], EpochResult)
    assert events[-1].metrics["train_loss"] == pytest.approx(total / 90, rel=1e-6)


@pytest.mark.parametrize("step", [1, 5, 6])
def test_a_weight_that_turns_nan_between_steps_is_found_one_step_later(step: int) -> None:
    data = Tiny().load(None)  # type: ignore[arg-type]
    model = TinyNet(num_classes=3)
    train = TrainLoader(data, data.splits["train"], batch_size=20, device=CPU)
    val = EvalLoader(data, data.splits["val"], batch_size=20, device=CPU)
    state = TrainState(model, torch.optim.SGD(model.parameters(), lr=0.1))
    events = fit(state, model, nn.CrossEntropyLoss(), data, train, val, Recipe(3))
    while next(events).step < step or state.step < step:
        pass
    with torch.no_grad():
        model.linear.weight[0, 0] = math.nan
    with pytest.raises(DivergedError) as error:
        next(events)
    assert error.value.step == step
    assert state.step <= step + 1


def test_finite_weights_are_told_from_others() -> None:
    model = nn.Linear(3, 2)
    assert bool(finite_weights(model))
    with torch.no_grad():
        model.weight[1, 1] = 3e38
    assert bool(finite_weights(model))
    with torch.no_grad():
        model.bias[0] = -math.inf
    assert not bool(finite_weights(model))


def test_a_steps_random_numbers_depend_on_seed_epoch_and_step_alone() -> None:
    def draw(*place: int) -> float:
        with torch.random.fork_rng():
            seed_step(*place)
            return float(torch.rand(()))

    assert draw(0, 1, 2) == draw(0, 1, 2)
    assert len({draw(0, 1, 2), draw(1, 1, 2), draw(0, 2, 2), draw(0, 1, 3), draw(0, 2, 1)}) == 5


def test_an_average_follows_the_weights_by_its_decay() -> None:
    model = nn.BatchNorm1d(2)
    average = make_ema(model, 0.75)
    assert average is not None
    average.update_parameters(model)
    with torch.no_grad():
        model.weight.fill_(5.0)
        model.running_mean.fill_(4.0)  # type: ignore[union-attr]
    average.update_parameters(model)
    assert average.module.weight.tolist() == [2.0, 2.0]
    assert average.module.running_mean.tolist() == [1.0, 1.0]
    assert make_ema(model, 0.0) is None
