from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from nnkit.runs.directory import RunDirectory
from nnkit.training.observers import BestWeights, MetricsLog
from nnkit.types import EpochResult, StepResult


def offers(monitor: str, *values: float) -> BestWeights:
    best, model = BestWeights(monitor), nn.Linear(1, 1)
    for epoch, value in enumerate(values, start=1):
        with torch.no_grad():
            model.weight.fill_(epoch)
        best.offer(EpochResult(epoch, epoch, {monitor: value}), model)
    return best


@pytest.mark.parametrize(
    ("monitor", "values", "epoch"),
    [
        ("val_loss", (3.0, 1.0, 2.0), 2),
        ("val_accuracy", (0.1, 0.9, 0.5), 2),
        ("val_psnr", (10.0, math.inf, 20.0), 2),
        ("val_loss", (2.0, 1.0, 1.0), 2),
        ("val_loss", (math.nan, 5.0, math.nan), 2),
        ("val_accuracy", (math.nan, 0.0, math.nan), 2),
        ("val_loss", (1.0, math.nan, -math.inf), 3),
    ],
)
def test_the_first_best_epoch_is_kept_and_nan_never_is(
    monitor: str, values: tuple[float, ...], epoch: int
) -> None:
    best = offers(monitor, *values)
    assert best.epoch == epoch
    assert float(best.weights["weight"]) == epoch


def test_nan_alone_leaves_no_best() -> None:
    best = offers("val_loss", math.nan, math.nan)
    assert best.epoch == 0
    assert best.weights == {}


def test_steps_of_the_first_epoch_are_written_when_it_ends_and_others_never(tmp_path: Path) -> None:
    folder = RunDirectory.create(tmp_path, "train", "x")
    log = MetricsLog(folder)
    log.on_step(StepResult(1, 1, torch.tensor(0.5), 4, 0.1))
    log.on_step(StepResult(1, 2, torch.tensor(math.nan), 4, 0.1))
    log.on_epoch(EpochResult(1, 2, {"val_loss": math.inf}, validation={"loss": math.inf}))
    log.on_step(StepResult(2, 3, torch.tensor(0.25), 4, 0.1))
    log.on_epoch(EpochResult(2, 3, {"val_loss": 1.0}))
    folder.close()
    lines = [json.loads(line) for line in (folder.path / "metrics.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["step", "step", "epoch", "epoch"]
    assert [line.get("loss") for line in lines[:2]] == [0.5, None]
    assert lines[2]["metrics"] == {"val_loss": None}
    assert "validation" not in lines[2]
    assert log.first_epoch[0] == (1, 0.5)


@pytest.mark.parametrize(
    ("monitor", "better", "worse"),
    [("val_accuracy", 0.9, 0.8), ("val_loss", 0.1, 0.2), ("val_psnr", 30.0, 20.0), ("train_loss", 0.1, 0.2),
     ("val_mae_sum", 1.0, 2.0)],
)  # fmt: skip
def test_of_epochs_that_are_equal_in_every_metric_the_first_is_kept(
    monitor: str, better: float, worse: float
) -> None:
    model = nn.Linear(1, 1)
    best = BestWeights(monitor)
    kept = []
    for epoch, value in enumerate((worse, better, better, worse, better), start=1):
        with torch.no_grad():
            model.weight.fill_(epoch)
        metrics = {"val_loss": 0.5, "train_loss": 0.5, monitor: value}
        kept.append(best.offer(EpochResult(epoch, epoch, metrics, validation={"loss": 0.5}), model))
    assert kept == [True, True, False, False, False]
    assert (best.epoch, best.value, float(best.weights["weight"])) == (2, better, 2.0)


def test_of_epochs_that_are_equal_the_one_of_lower_validation_loss_is_kept() -> None:
    model, best = nn.Linear(1, 1), BestWeights("val_accuracy")
    epochs = [(0.9, 0.5), (0.9, 0.3), (0.9, 0.4), (0.9, math.nan), (0.8, 0.1), (0.9, 0.3)]
    kept = [
        best.offer(EpochResult(number, number, {"val_accuracy": accuracy, "val_loss": loss}), model)
        for number, (accuracy, loss) in enumerate(epochs, start=1)
    ]
    assert kept == [True, True, False, False, False, False]
    assert (best.epoch, best.loss) == (2, 0.3)


def test_the_best_epochs_metrics_are_kept_as_evaluated_and_as_recorded() -> None:
    model = nn.Linear(1, 1)
    best = BestWeights("val_accuracy")
    first = EpochResult(1, 5, {"val_accuracy": 0.5}, validation={"accuracy": 0.5, "loss": 2})
    assert best.offer(first, model)
    assert not best.offer(EpochResult(2, 9, {"val_accuracy": 0.4}, validation={"accuracy": 0.4}), model)
    assert not best.offer(EpochResult(3, 9, {"other": 1.0}), model), "without the metric it is never best"
    assert best.metrics == {"accuracy": 0.5, "loss": 2, "val_accuracy": 0.5}


def test_the_best_weights_do_not_change_as_training_goes_on() -> None:
    model = nn.BatchNorm1d(2)
    best = BestWeights("val_loss")
    best.offer(EpochResult(1, 1, {"val_loss": 1.0}), model)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.train()(torch.randn(8, 2))
    with torch.no_grad():
        model.weight.add_(1)
    assert best.weights.keys() == before.keys()
    assert all(torch.equal(best.weights[key], value) for key, value in before.items())


def test_the_lines_of_the_log_hold_every_number_of_a_step_and_an_epoch(tmp_path: Path) -> None:
    folder = RunDirectory.create(tmp_path, "train", "x")
    log = MetricsLog(folder)
    log.on_step(StepResult(1, 1, torch.tensor(0.5), 4, 0.1))
    log.on_step(StepResult(1, 2, torch.tensor(0.25), 4, 0.2))
    assert not folder.has_log(), "steps wait on the device"
    epoch = EpochResult(
        1, 2, {"val_loss": 1.5}, 0.3, {"8x8": {"loss": 1.0}}, {"loss": 1.5}, 2.0, 0.5, 3.0, 4.0
    )
    log.on_epoch(epoch)
    lines = [json.loads(line) for line in (folder.path / "metrics.jsonl").read_text().splitlines()]
    assert lines == [
        {"kind": "step", "epoch": 1, "step": 1, "loss": 0.5, "learning_rate": 0.1},
        {"kind": "step", "epoch": 1, "step": 2, "loss": 0.25, "learning_rate": 0.2},
        {
            "kind": "epoch", "epoch": 1, "step": 2, "metrics": {"val_loss": 1.5}, "learning_rate": 0.3,
            "by_resolution": {"8x8": {"loss": 1.0}}, "train_s": 2.0, "data_wait_s": 0.5, "seconds": 3.0,
            "images_per_s": 4.0,
        },
    ]  # fmt: skip
    log.flush()
    assert (log.epochs, log.first_epoch) == ([epoch], [(1, 0.5), (2, 0.25)])
    folder.close()


def test_every_step_says_that_the_process_is_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunDirectory.create(tmp_path, "train", "x")
    beats = []
    monkeypatch.setattr(folder, "beat", lambda: beats.append(1))
    log = MetricsLog(folder)
    for epoch in (1, 2):
        log.on_step(StepResult(epoch, epoch, torch.tensor(0.5), 4, 0.1))
    assert len(beats) == 2
    folder.close()
