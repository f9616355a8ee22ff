"""The built-in metrics against their formulas in NumPy, whatever the batches."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nnkit.build import build
from nnkit.errors import UsageError
from nnkit.types import Metric

Arrays = tuple[np.ndarray, np.ndarray]


@st.composite
def predictions(draw: st.DrawFn) -> Arrays:
    """Logits (N, 6), not too sure, and classes (N,), of which some may have no image."""
    seed, num_images = draw(st.integers(0, 10**6)), draw(st.integers(1, 60))
    scale = draw(st.sampled_from([0.1, 1.0, 4.0, 100.0]))
    rng = np.random.default_rng(seed)
    classes = rng.choice(6, draw(st.integers(1, 6)), replace=False)
    return scale * rng.normal(size=(num_images, 6)), rng.choice(classes, num_images)


def by_f1(logits: np.ndarray, labels: np.ndarray) -> float:
    predicted, scores = logits.argmax(1), []
    for k in set(labels) | set(predicted):
        hits = ((predicted == k) & (labels == k)).sum()
        precision = hits / (predicted == k).sum() if (predicted == k).any() else 0.0
        recall = hits / (labels == k).sum() if (labels == k).any() else 0.0
        scores.append(2 * precision * recall / (precision + recall) if hits else 0.0)
    return float(np.mean(scores))


def by_recall(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean([(logits.argmax(1)[labels == k] == k).mean() for k in set(labels)]))


def by_rank(logits: np.ndarray, labels: np.ndarray) -> float:
    rank = (logits > logits[np.arange(len(labels)), labels][:, None]).sum(1)
    return float((rank < 2).mean())


def by_bins(logits: np.ndarray, labels: np.ndarray) -> float:
    wide = np.exp(logits - logits.max(1, keepdims=True))
    probability = (wide / wide.sum(1, keepdims=True)).max(1)
    right, total = logits.argmax(1) == labels, 0.0
    for low in range(10):
        inside = (probability > low / 10) & (probability <= (low + 1) / 10)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - probability[inside].mean())
    return float(total)


def by_hits(logits: np.ndarray, labels: np.ndarray) -> float:
    return float((logits.argmax(1) == labels).mean())


FORMULAS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": by_hits, "f1": by_f1, "balanced-accuracy": by_recall, "top-k:k=2": by_rank,
    "calibration-error:bins=10": by_bins,
}  # fmt: skip


def value(metric: Metric, logits: np.ndarray, labels: np.ndarray, parts: int = 1) -> float:
    metric.reset()
    for places in np.array_split(np.arange(len(labels)), parts):
        if len(places):
            metric.update(torch.from_numpy(logits[places]), torch.from_numpy(labels[places]))
    return float(metric.compute())


def made(spec: str) -> Metric:
    metric: Metric = build("metrics", spec, known={"num_classes": 6})
    return metric


@pytest.mark.parametrize("spec", FORMULAS)
@settings(deadline=None, max_examples=60)
@given(pair=predictions(), parts=st.integers(1, 4))
def test_a_metric_is_its_formula_over_all_batches(spec: str, pair: Arrays, parts: int) -> None:
    assert value(made(spec), *pair, parts) == pytest.approx(FORMULAS[spec](*pair), abs=1e-9)


@pytest.mark.parametrize("spec", FORMULAS)
def test_without_images_there_is_no_value(spec: str) -> None:
    metric = made(spec)
    assert math.isnan(float(metric.compute()))
    value(metric, np.eye(6), np.arange(6))
    metric.reset()
    assert math.isnan(float(metric.compute()))


@pytest.mark.parametrize("spec", FORMULAS)
def test_batches_count_in_and_out_of_inference_mode(spec: str) -> None:
    metric, logits, labels = made(spec), torch.randn(8, 6), torch.arange(8) % 6
    with torch.inference_mode():
        metric.update(logits[:4], labels[:4])
    metric.update(logits[4:], labels[4:])
    assert float(metric.compute()) == pytest.approx(value(made(spec), logits.numpy(), labels.numpy()))


def test_each_class_counts_the_same_however_many_images_it_has() -> None:
    labels, logits = np.array([0] * 98 + [1, 1]), np.zeros((100, 6))
    logits[:, 0] = 1
    assert value(made("balanced-accuracy"), logits, labels) == 0.5
    assert value(made("f1"), logits, labels) == pytest.approx((196 / 198) / 2)


def test_what_is_sure_and_right_is_calibrated_and_what_is_sure_and_wrong_is_not() -> None:
    logits = 1000 * np.eye(6)
    assert value(made("calibration-error"), logits, np.arange(6)) == 0
    assert value(made("calibration-error"), logits, (np.arange(6) + 1) % 6) == 1


@pytest.mark.parametrize("spec", ["top-k:k=0", "top-k:k=7", "calibration-error:bins=0"])
def test_settings_out_of_range_are_refused(spec: str) -> None:
    with pytest.raises(UsageError, match="expected"):
        made(spec)
