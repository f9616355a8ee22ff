"""When the epochs run out, `best` is the best epoch's weights to the bit, be the last epoch worse or not.

Row 11 of docs/reliability.md.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from checkpoint_files import last_state
from nnkit.api import train
from nnkit.results.train import TrainResult
from nnkit.runs import weights as weight_files
from tiny_plugin import TinyPlugin


def last_weights(run_dir: Path, kind: str) -> dict[str, torch.Tensor]:
    parts = last_state(run_dir).parts
    if kind == "model":
        return dict(parts["model"])
    prefix = "module."
    return {k.removeprefix(prefix): v for k, v in parts["average"].items() if k.startswith(prefix)}


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
    best = weight_files.load_bare(whole.run_dir)[0].state_dict()
    kept = last_weights(until_best.run_dir, "average" if ema else "model")
    assert best.keys() == kept.keys()
    assert all(torch.equal(best[key], kept[key]) for key in best)
    assert whole.best["metrics"]["loss"] == until_best.best["metrics"]["loss"]
