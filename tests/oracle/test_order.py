"""The order of the batches, the random numbers of the steps and the mode of the model in a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from oracle.components import NUM, OneOfEach, SmallNet
from oracle.following import nnkits
from oracle.recorder import Recording


def run(runs: Path, **options: Any) -> tuple[Any, Recording]:
    usual = {"dataset": "one-of-each", "batch_size": 12, "epochs": 3, "lr": 1e-3}
    return nnkits(runs, SmallNet, nn.CrossEntropyLoss, **{**usual, **options})


def orders(seen: Recording) -> list[list[int]]:
    """The training images of each epoch in the order in which they were seen."""
    epochs = seen.phases()[0::2]
    return [[int(t) for call in phase if call.training for t in call.target] for phase in epochs]  # type: ignore[union-attr]


def test_every_epoch_sees_each_training_image_once(oracle_components: Path) -> None:
    _, seen = run(oracle_components)
    for order in orders(seen)[:3]:
        assert sorted(order) == list(range(NUM["train"]))
        assert order != sorted(order)


def test_the_order_differs_between_epochs_and_seeds_and_is_the_same_for_the_same(
    oracle_components: Path,
) -> None:
    first, again, other = (orders(run(oracle_components, seed=seed)[1])[:3] for seed in (0, 0, 1))
    assert first == again
    found = [tuple(order) for order in first + other]
    assert len(set(found)) == 6
    # Independent permutations of 40 images agree in about one place.
    for a in range(6):
        for b in range(a):
            assert sum(x == y for x, y in zip(found[a], found[b], strict=True)) < 10


def test_the_weights_start_from_the_seed(oracle_components: Path) -> None:
    for seed in (0, 1, 12345):
        _, seen = run(oracle_components, seed=seed, epochs=1)
        torch.manual_seed(seed)
        expected = SmallNet(num_classes=NUM["train"]).state_dict()
        for name, value in seen.phases()[0][0].weights.items():
            assert torch.equal(value, expected[name]), f"seed {seed}: {name}"


def test_a_steps_random_numbers_follow_from_seed_epoch_and_step_alone(oracle_components: Path) -> None:
    states = {}
    for seed, batch_size in ((0, 12), (0, 10), (1, 12)):
        _, seen = run(oracle_components, seed=seed, batch_size=batch_size)
        for epoch, phase in enumerate(seen.phases()[0::2][:3]):
            for step, call in enumerate(phase[: -(-NUM["train"] // batch_size)]):
                state = call.random_state.numpy().tobytes()
                assert states.setdefault((seed, epoch, step), state) == state
    assert len(set(states.values())) == len(states) == 2 * 3 * 4


def test_dropout_draws_anew_in_each_epoch_and_step(oracle_components: Path) -> None:
    # One batch an epoch: the random state before a forward is that of its step alone.
    _, seen = run(oracle_components, model="small-net:dropout=0.5", batch_size=40)
    states = [phase[0].random_state.numpy().tobytes() for phase in seen.phases()[0::2][:3]]
    assert len(set(states)) == 3


def test_the_model_trains_in_train_mode_and_is_judged_in_eval_mode(oracle_components: Path) -> None:
    _, seen = run(oracle_components, model="small-net:norm=true,dropout=0.5")
    modes = [(call.training, len(call.target)) for call in seen.calls if call.target is not None]
    for at in range(0, 15, 5):
        assert [training for training, _ in modes[at : at + 5]] == [True] * 4 + [False]
        assert sorted(size for _, size in modes[at : at + 5]) == [4, 12, 12, 12, 17]
    assert modes[15:] == [(False, 19)]


def test_validation_and_test_see_each_image_once_in_its_own_size(oracle_components: Path) -> None:
    _, seen = run(oracle_components, dataset="one-of-each:several=true", bucketing="max_buckets=1", epochs=1)
    calls = [call for call in seen.calls if call.target is not None and not call.training]
    targets = [int(t) for call in calls for t in call.target]  # type: ignore[union-attr]
    assert sorted(targets[: NUM["val"]]) == list(range(NUM["val"]))
    assert sorted(targets[NUM["val"] :]) == list(range(NUM["test"]))
    sizes = OneOfEach(several=True).sizes
    for call in calls:
        assert call.mask is None
        assert call.target is not None
        assert {sizes[int(t) % 3] for t in call.target} == {tuple(call.inputs.shape[2:])}


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_the_best_epochs_weights_are_saved_and_tested(oracle_components: Path, ema: float) -> None:
    """At this learning rate accuracy falls again, so that the best epoch is not the last."""
    result, seen = run(oracle_components, epochs=6, lr=3.0, ema=ema, monitor="loss")
    losses = [epoch.metrics["val_loss"] for epoch in seen.epochs]
    assert result.best["epoch"] == int(np.argmin(losses)) + 1 < 6
    validated = [phase[0] for phase in seen.phases()[1::2]]
    tested = [call for call in seen.calls if call.target is not None][-1]
    assert len(tested.target) == NUM["test"]  # type: ignore[arg-type]
    for name, value in validated[result.best["epoch"] - 1].weights.items():
        assert torch.equal(tested.weights[name], value)


def test_images_per_second_are_the_epochs_images_over_its_seconds(oracle_components: Path) -> None:
    result, seen = run(oracle_components)
    for epoch in seen.epochs:
        assert epoch.images_per_s * epoch.train_s == pytest.approx(NUM["train"])
        assert 0 <= epoch.data_wait_s <= epoch.train_s <= epoch.seconds
    total = sum(epoch.train_s for epoch in seen.epochs)
    assert result.images_per_s == pytest.approx(3 * NUM["train"] / total)
    assert result.seconds >= sum(epoch.seconds for epoch in seen.epochs)
