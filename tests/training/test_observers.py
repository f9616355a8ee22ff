from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from nnkit.training import run_directory
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
    folder = run_directory.create(tmp_path, "train", "x")
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
