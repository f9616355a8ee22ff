"""nnkit's contract tests of torchmetrics' classes, and nnkit's own metrics held against torchmetrics'."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torchmetrics import MeanSquaredError, classification, image
from torchmetrics.functional import image as image_functions

import nnkit
from nnkit.build import build
from nnkit.testing import MetricContract

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = 3 * torch.randn(500, 7, generator=GENERATOR)
# Of uneven classes, one of which has no image.
CLASSES = torch.tensor([0, 1, 2, 3, 5, 6])[
    torch.randint(0, 60, (500,), generator=GENERATOR).sqrt().long() % 6
]

TARGETS = torch.rand(20, 3, 28, 20, generator=GENERATOR)
IMAGES = TARGETS + 0.1 * torch.randn(TARGETS.shape, generator=GENERATOR)


class TestF1(MetricContract):
    component = classification.MulticlassF1Score


class TestCalibrationError(MetricContract):
    component = classification.MulticlassCalibrationError


class TestCohenKappa(MetricContract):
    component = classification.MulticlassCohenKappa


class TestMatthews(MetricContract):
    component = classification.MulticlassMatthewsCorrCoef


class TestJaccard(MetricContract):
    component = classification.MulticlassJaccardIndex


class TestF1OfAnyTask(MetricContract):
    """The class that chooses by `task`, which nnkit fills in too."""

    component = classification.F1Score


@pytest.mark.parametrize(
    ("own", "theirs"),
    [
        ("accuracy", classification.MulticlassAccuracy(7, average="micro")),
        ("f1", classification.MulticlassF1Score(7, average="macro")),
        ("calibration-error:bins=15", classification.MulticlassCalibrationError(7, n_bins=15, norm="l1")),
        ("calibration-error:bins=4", classification.MulticlassCalibrationError(7, n_bins=4, norm="l1")),
        ("top-k:k=1", classification.MulticlassAccuracy(7, average="micro")),
        ("top-k:k=3", classification.MulticlassAccuracy(7, average="micro", top_k=3)),
    ],
    ids=str,
)
def test_nnkits_own_metrics_are_torchmetrics_own(own: str, theirs: torch.nn.Module) -> None:
    metric = build("metrics", own, known={"num_classes": 7})
    for part in torch.arange(500).split(64):
        metric.update(LOGITS[part], CLASSES[part])
        theirs.update(LOGITS[part], CLASSES[part])
    assert float(metric.compute()) == pytest.approx(float(theirs.compute()), abs=1e-6)


@pytest.mark.parametrize(
    ("own", "theirs"),
    [
        ("mse", MeanSquaredError()),
        ("psnr", image.PeakSignalNoiseRatio(data_range=1.0)),
    ],
    ids=str,
)
def test_nnkits_own_metrics_of_images_are_torchmetrics_own(own: str, theirs: torch.nn.Module) -> None:
    metric = build("metrics", own)
    for part in torch.arange(20).split(8):
        metric.update(IMAGES[part], TARGETS[part])
        theirs.update(IMAGES[part], TARGETS[part])
    assert float(metric.compute()) == pytest.approx(float(theirs.compute()), rel=1e-5)


def test_ssim_is_torchmetrics_own_over_the_windows_within_the_images() -> None:
    metric = build("metrics", "ssim")
    metric.update(IMAGES, TARGETS)
    _, similarity = image_functions.structural_similarity_index_measure(
        IMAGES, TARGETS, data_range=1.0, return_full_image=True
    )
    assert float(metric.compute()) == pytest.approx(float(similarity[..., 5:-5, 5:-5].mean()), rel=1e-5)


def test_balanced_accuracy_leaves_out_a_class_without_images() -> None:
    metric = build("metrics", "balanced-accuracy", known={"num_classes": 7})
    metric.update(LOGITS, CLASSES)
    recall = classification.MulticlassRecall(7, average="none")(LOGITS, CLASSES)
    assert float(metric.compute()) == pytest.approx(float(recall[CLASSES.unique()].mean()), abs=1e-6)


def test_an_object_is_a_metric_and_says_which_epoch_is_best(tmp_path: Path) -> None:
    labels = np.arange(200) % 2
    images = (labels[:, None, None] * 60 + np.random.default_rng(0).integers(0, 120, (200, 8, 8))).astype(
        "uint8"
    )
    data = nnkit.Data((images, labels), val=(images[:50], labels[:50]))
    passed = [classification.MulticlassCalibrationError(num_classes=2), classification.F1Score]
    result = nnkit.train(
        dataset=data, metric=passed, monitor="multiclass_calibration_error", epochs=3, out=tmp_path / "run"
    )
    log = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    errors = [line["metrics"]["val_multiclass_calibration_error"] for line in log if line["kind"] == "epoch"]
    assert result.best.value == min(errors)
    assert "val_f1_score" in result.best.metrics.record
