from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from nnkit.errors import CheckpointError, UsageError
from nnkit.studies.evaluate import evaluate, per_class
from nnkit.studies.train import TrainResult, train
from nnkit.training import checkpoints
from tiny_plugin import TinyPlugin


@pytest.fixture
def trained(tiny: TinyPlugin, monkeypatch: pytest.MonkeyPatch) -> TrainResult:
    monkeypatch.setattr("nnkit.studies.train.write_figures", lambda *parts: [])
    return train(dataset="tiny", epochs=2, batch_size=16, runs_dir=tiny.runs)


def test_the_document_has_metrics_classes_and_a_confusion_matrix(trained: TrainResult) -> None:
    document = evaluate(trained.run_dir).document()
    assert document["schema"] == "nnkit.evaluate/1"
    assert document["metrics"] == trained.test
    assert document["images"] == 45
    assert sum(map(sum, document["confusion"]["all"])) == 45
    assert [row["name"] for row in document["per_class"]] == ["a", "b", "c"]
    json.dumps(document, allow_nan=False)


def test_a_weights_file_alone_needs_a_dataset_to_be_named(trained: TrainResult) -> None:
    weights = trained.run_dir / checkpoints.BEST
    with pytest.raises(UsageError, match="does not say what it was trained on"):
        evaluate(weights)
    assert evaluate(weights, dataset="tiny").metrics == trained.test


def test_another_dataset_of_the_same_shapes_is_evaluated_with_the_runs_statistics(
    trained: TrainResult,
) -> None:
    other = evaluate(trained.run_dir, dataset="tiny:noise=10.0")
    assert other.dataset == "tiny:noise=10.0"
    assert other.metrics["loss"] != trained.test["loss"]  # type: ignore[index]


def test_another_number_of_classes_is_refused_with_both(trained: TrainResult) -> None:
    with pytest.raises(UsageError, match=r'num_classes: .* was made for 3, "tiny:classes=4" has 4'):
        evaluate(trained.run_dir, dataset="tiny:classes=4")


def test_another_size_is_refused_with_both_shapes(tmp_path: Path) -> None:
    run = train(
        dataset="digits", model="mnist-convnet", epochs=1, limit=20, test=False, runs_dir=tmp_path
    ).run_dir
    with pytest.raises(UsageError, match=r"28×28.* several sizes"):
        evaluate(run, dataset="digits-varres")


def test_another_task_is_refused(trained: TrainResult) -> None:
    with pytest.raises(UsageError, match="trained for classification"):
        evaluate(trained.run_dir, dataset="cifar-transform:source=synthetic")


def test_a_limit_takes_fewer_images(trained: TrainResult) -> None:
    assert evaluate(trained.run_dir, split="train", limit=10).images == 10


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no run"):
        evaluate(tmp_path / "none")
    with pytest.raises(CheckpointError, match="holds no checkpoints"):
        evaluate(tmp_path)


def test_precision_and_recall_are_those_of_the_matrix() -> None:
    rows: list[dict[str, Any]] = per_class([[3, 1, 0], [0, 0, 0], [1, 0, 0]], ["a", "b", "c"])
    assert rows[0] == {"name": "a", "count": 4, "precision": 0.75, "recall": 0.75}
    assert math.isnan(rows[1]["recall"])
    assert rows[1]["precision"] == 0.0
    assert math.isnan(rows[2]["precision"])
    assert rows[2]["recall"] == 0.0
