"""When the epochs run out, `best` is the best epoch's weights to the bit, be the last epoch worse or not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nnkit.api import train
from nnkit.data import tensor_files
from nnkit.results.train import TrainResult
from nnkit.runs import checkpoints
from tiny_plugin import TinyPlugin


def last_weights(run_dir: Path, kind: str) -> dict[str, torch.Tensor]:
    tensors = tensor_files.read(run_dir / checkpoints.LAST)[0]
    prefix = f"{kind}."
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_best_is_the_best_epochs_weights(
    tiny: TinyPlugin, monkeypatch: pytest.MonkeyPatch, ema: float
) -> None:
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])

    def run(epochs: int) -> TrainResult:
        return train(
            dataset="tiny:noise=250.0",
            epochs=epochs,
            lr=0.1,
            ema=ema,
            monitor="loss",
            batch_size=16,
            test=False,
            runs_dir=tiny.runs,
        )

    whole = run(8)
    best_epoch = whole.best["epoch"]
    assert whole.stopped_by == "epochs"
    assert best_epoch < 8, "the last epoch must be worse for this to show anything"
    until_best = run(best_epoch)
    best = checkpoints.load_bare(whole.run_dir)[0].state_dict()
    kept = last_weights(until_best.run_dir, "average.module" if ema else "model")
    assert best.keys() == kept.keys()
    assert all(torch.equal(best[key], kept[key]) for key in best)
    assert whole.best["metrics"]["loss"] == until_best.best["metrics"]["loss"]
