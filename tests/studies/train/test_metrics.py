"""Metrics that are components, in training and evaluation: their keys, direction and mistakes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nnkit
from fake_plugins import write_plugin
from nnkit import registry
from nnkit.build import build
from nnkit.errors import ConfigError, NnkitError, PluginError, UsageError
from nnkit.results.train import TrainResult
from tiny_plugin import TinyPlugin

ENTRY_POINTS = "[nnkit.metrics]\n" + "".join(
    f"{name} = own_metrics:{name.title().replace('-', '')}\n"
    for name in (
        "right",
        "two-numbers",
        "text-only",
        "no-compute",
        "breaks",
        "wrong-share",
        "never",
        "pixels",
    )
)
MODULE = '''
import torch


class Right:
    """The share of right answers."""

    higher_is_better = True

    def __init__(self):
        self.reset()

    def update(self, preds, target):
        assert torch.is_inference_mode_enabled()
        self.hits += float((preds.argmax(1) == target).sum())
        self.images += len(target)

    def compute(self):
        return torch.tensor([self.hits / self.images])

    def reset(self):
        self.hits = self.images = 0


class WrongShare(Right):
    """The share of wrong answers."""

    higher_is_better = False

    def compute(self):
        return 1 - self.hits / self.images


class TwoNumbers(Right):
    """Hits and images."""

    def compute(self):
        return {"hits": self.hits, "images": torch.tensor(self.images)}


class TextOnly(Right):
    """Text."""

    def compute(self):
        return "good"


class Breaks(Right):
    """Broken."""

    def update(self, preds, target):
        raise KeyError("what")


class Never(Right):
    """Never known."""

    def compute(self):
        return float("nan")


class Pixels:
    """The mean squared error of images."""

    task = "transform"
    higher_is_better = False

    def __init__(self):
        self.reset()

    def update(self, preds, target):
        self.total = self.total + (preds - target).square().double().sum()
        self.values += target.numel()

    def compute(self):
        return self.total / self.values

    def reset(self):
        self.total, self.values = 0.0, 0


class NoCompute:
    """Half of a metric."""

    def update(self, preds, target): ...
    def reset(self): ...
'''
Train = Callable[..., TrainResult]
NOISY: dict[str, Any] = {"dataset": "tiny:noise=200.0", "lr": 0.1, "epochs": 6}


@pytest.fixture
def train(tiny: TinyPlugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    write_plugin(tmp_path / "own", "own-metrics", ENTRY_POINTS, module=MODULE)
    monkeypatch.syspath_prepend(str(tmp_path / "own"))
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])
    registry.refresh()

    def run(**options: Any) -> TrainResult:
        base: dict[str, Any] = {"dataset": "tiny", "epochs": 3, "batch_size": 16, "runs_dir": tiny.runs}
        return nnkit.train(**{**base, **options})

    return run


def epochs_of(result: TrainResult) -> list[dict[str, Any]]:
    lines = (result.run_dir / "metrics.jsonl").read_text().splitlines()
    return [record["metrics"] for line in lines if (record := json.loads(line))["kind"] == "epoch"]


def test_a_metric_is_in_the_log_the_result_and_the_evaluation(train: Train) -> None:
    result = train(metric=["right", "two-numbers", "own-metrics/wrong-share", "top-k:k=2"])
    assert result.test is not None
    for metrics in epochs_of(result):
        assert metrics["val_right"] == pytest.approx(metrics["val_accuracy"])
        assert metrics["val_wrong_share"] == pytest.approx(1 - metrics["val_accuracy"])
        assert (metrics["val_two_numbers_images"], "train_right" in metrics) == (42, False)
    document = json.loads((result.run_dir / "summary.json").read_text())
    test = document["test"]
    assert test["right"] == pytest.approx(test["accuracy"])
    assert test["two_numbers_hits"] == pytest.approx(45 * test["accuracy"])
    assert test["top_k"] >= test["accuracy"]
    assert document["best"]["metrics"]["right"] == document["best"]["metrics"]["val_right"]
    assert TrainResult.model_validate_json(json.dumps(document)).document() == document
    assert nnkit.evaluate(result.run_dir).metrics == result.test
    assert nnkit.evaluate(result.run_dir, metric="calibration-error:bins=4").metrics["calibration_error"] >= 0  # type: ignore[operator]
    bare = train()
    assert bare.test is not None
    found = nnkit.evaluate(bare.run_dir, metric="right").metrics
    assert found["right"] == pytest.approx(bare.test["accuracy"])


def test_macro_f1_is_beside_accuracy_and_f1_where_it_is_named(train: Train) -> None:
    named = train(metric="f1", monitor="f1")
    assert named.best.metric == "val_f1"
    assert all(metrics["val_f1"] == metrics["val_macro_f1"] for metrics in epochs_of(named))
    result = train()
    assert list(result.test.document())[:3] == ["loss", "accuracy", "macro_f1"]  # type: ignore[union-attr]
    assert all(0 <= metrics["val_macro_f1"] <= 1 for metrics in epochs_of(result))


TRANSFORM: dict[str, Any] = {
    "dataset": "cifar-transform:source=synthetic", "model": "linear", "limit": 30, "epochs": 1,
}  # fmt: skip


def computed_again(*args: object) -> None:
    raise AssertionError("computed a second time")


@pytest.mark.parametrize(
    ("options", "names"),
    [({}, ["accuracy"]), ({}, ["nnkit/accuracy"]), (TRANSFORM, ["mse", "mae-sum", "nnkit/psnr"])],
)
def test_what_results_have_anyway_may_be_named_and_is_there_once(
    train: Train, options: dict[str, Any], names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = train(**options)
    for name in names:
        component = registry.load(registry.find("metrics", name)).cls
        monkeypatch.setattr(component, "update", computed_again)
    named = train(**options, metric=names)
    assert named.test is not None
    assert named.test == plain.test
    assert list(named.test.document()) == list(plain.test.document())  # type: ignore[union-attr]
    assert [list(metrics) for metrics in epochs_of(named)] == [list(metrics) for metrics in epochs_of(plain)]
    evaluated = nnkit.evaluate(named.run_dir).metrics
    assert list(evaluated.document()) == list(plain.test.document())  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("options", "names"),
    [({}, {"accuracy": "accuracy", "f1": "macro_f1"}),
     (TRANSFORM, {"mse": "mse", "mae-sum": "mae_sum", "psnr": "psnr"})],
)  # fmt: skip
def test_a_component_gives_what_results_have_anyway(
    train: Train, options: dict[str, Any], names: dict[str, str]
) -> None:
    def again(**known: Any) -> Again:
        return Again({name: build("metrics", name, known=known) for name in names})

    known = {} if options else {"num_classes": 3}
    result = train(**options, metric=[again(**known)])
    assert result.test is not None
    for name, key in names.items():
        assert result.test[f"again_{name}"] == result.test[key]


class Again:
    """Several metrics as one."""

    def __init__(self, metrics: dict[str, Any]) -> None:
        self.metrics = metrics

    def update(self, preds: Tensor, target: Tensor) -> None:
        for metric in self.metrics.values():
            metric.update(preds, target)

    def compute(self) -> dict[str, float]:
        return {name: metric.compute() for name, metric in self.metrics.items()}

    def reset(self) -> None:
        for metric in self.metrics.values():
            metric.reset()


def test_the_best_epoch_is_that_of_the_monitored_metric_in_its_direction(train: Train) -> None:
    result = train(metric=["right", "wrong-share"], monitor="wrong_share", **NOISY)
    shares = [metrics["val_wrong_share"] for metrics in epochs_of(result)]
    assert len(set(shares)) > 1
    assert (result.best.metric, result.best.value) == ("val_wrong_share", min(shares))
    assert train(metric="right", monitor="val_right", **NOISY).best.epoch == result.best.epoch


@pytest.mark.parametrize("name", ["right", "wrong_share"])
def test_a_stopping_rule_may_name_it_and_knows_its_direction(train: Train, name: str) -> None:
    result = train(
        metric=["right", "wrong-share"], stop=f"patience:metric=val_{name},patience=2", lr=0.3, epochs=30
    )
    found = [metrics["val_accuracy"] for metrics in epochs_of(result)]
    waits = [max(found[:at]) >= max(found[at : at + 2]) for at in range(1, len(found) - 1)]
    assert result.stopped_by.startswith(f"patience: val_{name} has not improved")
    assert waits.index(True) == len(waits) - 1


def test_what_has_no_value_is_written_as_null_and_ends_no_run(train: Train) -> None:
    result = train(metric="never", epochs=1)
    assert math.isnan(epochs_of(result)[0]["val_never"] or math.nan)
    assert json.loads((result.run_dir / "summary.json").read_text())["test"]["never"] is None
    with pytest.raises(UsageError, match="val_never is NaN after epoch 1"):
        train(metric="never", monitor="never")


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"metric": ["right", "right"]}, ConfigError, 'two metrics are named "right"'),
        ({"metric": ["right", "own-metrics/right"]}, ConfigError, 'two metrics are named "right"'),
        ({"metric": "rihgt"}, UsageError, 'no metric is named "rihgt"'),
        ({"metric": "no-compute"}, PluginError, '"no-compute" of own-metrics .* has no compute'),
        ({"metric": "text-only"}, PluginError, '"text-only" of own-metrics .* gives no number'),
        ({"metric": "breaks"}, PluginError, r'"breaks" of own-metrics .* broke in update\(\): KeyError'),
        ({"metric": "pixels"}, ConfigError, '"pixels" is a metric of transform'),
        ({"metric": "top-k:k=4"}, UsageError, "k from 1 to the number of classes, 3"),
        ({"metric": "calibration-error:bin=4"}, ConfigError, r"metric\[0\].bin: unknown setting"),
        ({"metric": "accuracy:k=4"}, ConfigError, r"metric\[0\].k: unknown setting"),
        ({"metric": ["accuracy", "nnkit/accuracy"]}, ConfigError, 'two metrics are named "accuracy"'),
        ({"metric": ["f1", "f1"]}, ConfigError, 'two metrics are named "f1"'),
        ({"metric": "mse"}, ConfigError, '"mse" is a metric of transform'),
        ({"metric": "own-metrics/accuracy"}, ConfigError, 'a metric cannot be named "accuracy"'),
        ({"metric": "own-metrics/macro-f1"}, ConfigError, 'a metric cannot be named "macro_f1"'),
        ({"metric": "calibration-error", "monitor": "right"}, UsageError, 'no metric "right"'),
        ({"stop": "patience:metric=val_top_k"}, ConfigError, 'needs the metric "val_top_k"'),
        (
            {"dataset": "tiny:empty_val=true", "metric": "top-k:k=2", "monitor": "top_k"},
            UsageError,
            "there are none",
        ),
        ({"metric": [len]}, UsageError, "expected a metric"),
        ({"metric": [nn.ReLU()]}, UsageError, "has no update.* and no compute.* and no reset"),
    ],
)  # fmt: skip
def test_mistakes_are_one_message_before_a_run_is_made(
    train: Train, tiny: TinyPlugin, options: dict[str, Any], kind: type[NnkitError], said: str
) -> None:
    with pytest.raises(kind, match=said):
        train(**options)
    assert not tiny.runs.exists() or not list(tiny.runs.glob("train/*"))


@pytest.mark.parametrize("solver", ["gradient", "least-squares"])
def test_images_are_measured_as_classes_are_and_by_either_solver(train: Train, solver: str) -> None:
    result = train(
        dataset="cifar-transform:source=synthetic", model="linear", limit=30, epochs=1, metric="pixels",
        monitor="pixels", solver=solver,
    )  # fmt: skip
    assert result.test is not None
    assert result.test["pixels"] == pytest.approx(result.test["mse"], rel=1e-6)
    assert result.best.value == pytest.approx(result.best.metrics["val_mse"], rel=1e-6)
    assert "macro_f1" not in result.test.document()


def test_several_seeds_tell_the_mean_of_the_monitored_metric(train: Train) -> None:
    result: Any = train(metric="right", monitor="right", seeds="0-1", epochs=1)
    assert (result.validation.metric, result.test.metric) == ("val_right", "right")
    assert result.test.values == tuple(run.test["right"] for run in result.runs)
    with pytest.raises(ConfigError, match="metric is an object of this process"):
        train(metric=[Share()], seeds="0-1", jobs=2)


class Share(nn.Module):
    """A metric with a buffer, as torchmetrics has it."""

    higher_is_better = None

    def __init__(self, num_classes: int = 3, task: str = "") -> None:
        super().__init__()
        self.register_buffer("hits", torch.zeros(num_classes))
        self.task_given, self.images = task, 0

    def update(self, preds: Tensor, target: Tensor) -> None:
        self.hits += torch.bincount(target[preds.argmax(1) == target], minlength=len(self.hits))
        self.images += len(target)

    def compute(self) -> Tensor:
        return self.hits.sum() / self.images

    def reset(self) -> None:
        self.hits, self.images = torch.zeros_like(self.hits), 0


@pytest.mark.parametrize("passed", [Share(), Share, lambda num_classes: Share(num_classes)])
def test_an_object_a_class_or_a_function_is_a_metric(train: Train, passed: Any) -> None:
    if not isinstance(passed, nn.Module):
        with pytest.raises(UsageError, match='no metric "something"'):
            train(metric=[passed], monitor="something")
    result = train(metric=[passed, "calibration-error"], epochs=2)
    key = "share" if isinstance(passed, nn.Module | type) else "lambda"
    assert [round(m[f"val_{key}"], 4) for m in epochs_of(result)] == [
        round(m["val_accuracy"], 4) for m in epochs_of(result)
    ]
    assert "type" in (result.run_dir / "config.toml").read_text()


def test_a_metric_that_was_passed_is_passed_again_to_evaluate(
    train: Train, caplog: pytest.LogCaptureFixture
) -> None:
    result = train(metric=[Share()], epochs=1)
    without = nnkit.evaluate(result.run_dir)
    assert "no file holds a Python object" in caplog.text
    assert without.metrics["accuracy"] == result.test["accuracy"]  # type: ignore[index]
    assert nnkit.evaluate(result.run_dir, metric=[Share()]).metrics == result.test


def test_uneven_classes_are_weighed_or_drawn_and_the_loss_of_results_is_the_plain_one(
    train: Train, caplog: pytest.LogCaptureFixture
) -> None:
    plain = train(lr=1e-9, epochs=1)
    weighted = train(lr=1e-9, epochs=1, class_weights="balanced")
    drawn = train(lr=1e-9, epochs=1, sampler="balanced")
    for result in (weighted, drawn):
        assert result.best.metrics["val_loss"] == pytest.approx(plain.best.metrics["val_loss"], rel=1e-5)
        assert result.best.metrics["train_loss"] != plain.best.metrics["train_loss"]
    assert nnkit.evaluate(weighted.run_dir).metrics == weighted.test


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"class_weights": "balanced", "loss": "nan-loss"}, "takes no weights of classes"),
        ({"class_weights": "heavy"}, "class_weights: .heavy. is not none or balanced"),
        ({"sampler": "even"}, "sampler: .even. is not shuffle or balanced"),
        (
            {"sampler": "balanced", "dataset": "cifar-transform:source=synthetic", "limit": 4},
            "sampler: this dataset has images as targets",
        ),
        (
            {"class_weights": "balanced", "dataset": "cifar-transform:source=synthetic", "limit": 4},
            "class_weights: this dataset has images",
        ),
    ],
)  # fmt: skip
def test_settings_of_uneven_classes_ask_for_classes(train: Train, options: dict[str, Any], said: str) -> None:
    with pytest.raises(NnkitError, match=said):
        train(**options)


def test_a_balanced_epoch_learns_a_rare_class_better(train: Train, tmp_path: Path) -> None:
    """Uneven classes: both settings raise the recall of the rare class over plain training."""
    rng = np.random.default_rng(0)
    labels = (np.arange(600) % 20 == 0).astype(int)
    images = (rng.normal(100, 40, (600, 8, 8)) + 12 * labels[:, None, None]).clip(0, 255).astype(np.uint8)
    data = nnkit.Data((images, labels), test=(images, labels))
    recall = {}
    for name, options in {
        "plain": {}, "weights": {"class_weights": "balanced"}, "sampler": {"sampler": "balanced"},
    }.items():  # fmt: skip
        result = train(
            dataset=data, metric="balanced-accuracy", model="tiny-net", lr=0.05, epochs=4, **options
        )
        recall[name] = result.test["balanced_accuracy"]  # type: ignore[index]
    assert recall["plain"] < 0.6  # type: ignore[operator]
    assert min(recall["weights"], recall["sampler"]) > 0.7  # type: ignore[type-var]
