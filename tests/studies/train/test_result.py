"""A training result is what its own log, its best epoch and its weights say, number by number."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import nnkit
from nnkit.api import train
from nnkit.results.train import TrainResult
from tiny_plugin import Tiny, TinyPlugin

Run = Callable[..., TrainResult]


@pytest.fixture
def run(tiny: TinyPlugin, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A quick run without figures."""
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])
    usual = {
        "dataset": "tiny:noise=150.0",
        "batch_size": 16,
        "lr": 0.02,
        "runs_dir": tiny.runs,
        "device": "cpu",
    }
    return lambda **options: train(**{**usual, **options})


def epochs_of(result: TrainResult) -> list[dict[str, Any]]:
    lines = (result.run_dir / "metrics.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["kind"] == "epoch"]


def test_the_summary_file_is_the_document(run: Run) -> None:
    result = run(epochs=2, seed=4)
    document = result.document()
    assert json.loads((result.run_dir / "summary.json").read_text()) == document
    assert list(document) == [
        "schema", "run_dir", "dataset", "model", "loss", "parameters", "epochs", "stopped_by", "best", "test",
        "solver", "seconds", "images_per_s", "seed", "device",
    ]  # fmt: skip
    said = {key: document[key] for key in ("schema", "dataset", "model", "loss", "parameters", "stopped_by")}
    assert said == {
        "schema": "nnkit.train/1", "dataset": "tiny:noise=150.0", "model": "tiny-net",
        "loss": "cross-entropy", "parameters": 28 + 39, "stopped_by": "epochs",
    }  # fmt: skip
    assert (document["epochs"], document["seed"], document["device"]) == (2, 4, "cpu")


def test_the_speed_is_images_over_the_seconds_of_training_and_the_time_is_more(run: Run) -> None:
    result = run(epochs=3)
    epochs = epochs_of(result)
    assert result.images_per_s == pytest.approx(3 * 90 / sum(epoch["train_s"] for epoch in epochs))
    assert result.seconds > sum(epoch["seconds"] for epoch in epochs)


@pytest.mark.parametrize(("monitor", "sign", "epochs"), [("accuracy", 1, 8), ("loss", -1, 6)])
def test_best_is_an_epoch_with_the_best_value_and_has_that_epochs_record(
    run: Run, monitor: str, sign: int, epochs: int
) -> None:
    result = run(epochs=epochs, monitor=monitor, lr=0.5)
    log = epochs_of(result)
    values = [sign * epoch["metrics"][f"val_{monitor}"] for epoch in log]
    best = result.best["epoch"] - 1
    assert values[best] == max(values)
    assert max(values[0], values[-1]) < max(values)
    assert result.best["metric"] == f"val_{monitor}"
    record = log[best]["metrics"]
    assert {name: result.best["metrics"][name] for name in record} == record
    assert {name: result.best["metrics"][name] for name in ("loss", "accuracy")} == {
        "loss": record["val_loss"], "accuracy": record["val_accuracy"]
    }  # fmt: skip


def logits_and_labels(folder: Path, split: str, **settings: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """What the loaded model says of a split's images, and their classes."""
    part = Tiny(**settings).load(None).splits[split]  # type: ignore[arg-type]
    images = part.images.fetch(part.indices)[0].float() / 255
    with torch.no_grad():
        return nnkit.load(folder)(images), part.targets[torch.from_numpy(part.indices)]


def test_the_test_is_of_the_best_epochs_weights_over_all_test_images(run: Run) -> None:
    result = run(epochs=8, lr=0.5, test=True)
    assert result.best["epoch"] < 8
    assert result.test is not None
    assert set(result.test.document()) == {"loss", "accuracy", "macro_f1"}
    for split, metrics in (("test", result.test), ("val", result.best["metrics"])):
        logits, labels = logits_and_labels(result.run_dir, split, noise=150.0)
        assert metrics["accuracy"] == pytest.approx(float((logits.argmax(1) == labels).float().mean()))
        expected = torch.nn.functional.cross_entropy(logits.double(), labels)
        assert metrics["loss"] == pytest.approx(float(expected), rel=1e-5)


def test_a_dataset_without_validation_is_watched_on_training(run: Run) -> None:
    """Training accuracy is of the weights as they changed; the best epoch is one where it is highest."""
    result = run(dataset="tiny:empty_val=true,noise=150.0", epochs=8, lr=0.8, test=True)
    accuracies = [epoch["metrics"]["train_accuracy"] for epoch in epochs_of(result)]
    best = result.best["epoch"] - 1
    assert accuracies[best] == max(accuracies) > accuracies[-1]
    assert result.best["metric"] == "train_accuracy"
    assert result.best["metrics"]["train_accuracy"] == accuracies[best]
    document = result.document()["best"]["metrics"]
    assert [document[name] for name in ("val_loss", "val_accuracy", "loss", "accuracy")] == [None] * 4
    logits, labels = logits_and_labels(result.run_dir, "test", empty_val=True, noise=150.0)
    assert result.test is not None
    assert result.test["accuracy"] == pytest.approx(float((logits.argmax(1) == labels).float().mean()))
