"""The built-in metrics of images against their formulas in NumPy, whatever the batches."""

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


@st.composite
def images(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, C, H, W) and their targets: also smaller than a window of SSIM, also outside [0, 1]."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    shape = [draw(st.integers(1, 5)), draw(st.sampled_from([1, 3])), *draw(st.sampled_from(SIZES))]
    targets = rng.random(shape)
    return targets + draw(st.sampled_from([0.001, 0.1, 1.0])) * rng.normal(size=shape), targets


SIZES = [(12, 13), (16, 11), (4, 12), (7, 7), (1, 1)]


def by_squares(output: np.ndarray, target: np.ndarray) -> float:
    return float(((output - target) ** 2).mean())


def by_sums(output: np.ndarray, target: np.ndarray) -> float:
    return float(np.mean([np.abs(x - y).sum() for x, y in zip(output, target, strict=True)]))


def by_decibels(output: np.ndarray, target: np.ndarray) -> float:
    return 10 * math.log10(1 / by_squares(output, target))


def by_windows(output: np.ndarray, target: np.ndarray) -> float:
    """The structural similarity, window after window, as Wang et al. (2004) define it."""
    height, width = output.shape[2:]
    side = [min(11, height), min(11, width)]
    down, right = (np.exp(-((np.arange(n) - (n - 1) / 2) ** 2) / (2 * 1.5**2)) for n in side)
    weights = np.outer(down, right) / np.outer(down, right).sum()
    found = []
    for x, y in zip(output.reshape(-1, height, width), target.reshape(-1, height, width), strict=True):
        for top in range(height - side[0] + 1):
            for left in range(width - side[1] + 1):
                a, b = (part[top : top + side[0], left : left + side[1]] for part in (x, y))
                mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
                var_a, var_b = (weights * (a - mean_a) ** 2).sum(), (weights * (b - mean_b) ** 2).sum()
                covariance = (weights * (a - mean_a) * (b - mean_b)).sum()
                found.append(
                    (2 * mean_a * mean_b + 0.01**2) * (2 * covariance + 0.03**2)
                    / ((mean_a**2 + mean_b**2 + 0.01**2) * (var_a + var_b + 0.03**2))
                )  # fmt: skip
    return float(np.mean(found))


FORMULAS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "mse": by_squares, "mae-sum": by_sums, "psnr": by_decibels, "ssim": by_windows,
}  # fmt: skip


def value(metric: Metric, output: np.ndarray, target: np.ndarray, parts: int = 1) -> float:
    metric.reset()
    for places in np.array_split(np.arange(len(target)), parts):
        if len(places):
            metric.update(torch.from_numpy(output[places]), torch.from_numpy(target[places]))
    return float(metric.compute())


def made(spec: str) -> Metric:
    metric: Metric = build("metrics", spec)
    return metric


@pytest.mark.parametrize("spec", FORMULAS)
@settings(deadline=None, max_examples=30)
@given(pair=images(), parts=st.integers(1, 3))
def test_a_metric_is_its_formula_over_all_batches(
    spec: str, pair: tuple[np.ndarray, np.ndarray], parts: int
) -> None:
    assert value(made(spec), *pair, parts) == pytest.approx(FORMULAS[spec](*pair), rel=1e-9)


@pytest.mark.parametrize("spec", FORMULAS)
def test_without_images_there_is_no_value(spec: str) -> None:
    metric, images = made(spec), np.ones((2, 1, 12, 12))
    assert math.isnan(float(metric.compute()))
    value(metric, images, 0 * images)
    metric.reset()
    assert math.isnan(float(metric.compute()))


@pytest.mark.parametrize("spec", FORMULAS)
def test_float32_in_and_out_of_inference_mode(spec: str) -> None:
    metric, target = made(spec), torch.rand(8, 3, 14, 12)
    output = target + 0.01 * torch.randn_like(target)
    with torch.inference_mode():
        metric.update(output[:4], target[:4])
    metric.update(output[4:], target[4:])
    expected = FORMULAS[spec](output.double().numpy(), target.double().numpy())
    assert float(metric.compute()) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("spec", "best"), [("mse", 0), ("mae-sum", 0), ("psnr", math.inf), ("ssim", 1)])
def test_equal_images_have_the_best_value(spec: str, best: float) -> None:
    target = np.random.default_rng(0).random((3, 1, 12, 12))
    assert value(made(spec), target, target) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("spec", FORMULAS)
def test_images_of_another_shape_are_refused_and_not_broadcast(spec: str) -> None:
    with pytest.raises(UsageError, match="outputs of 1×12×12, but targets of 3×12×12"):
        made(spec).update(torch.zeros(2, 1, 12, 12), torch.zeros(2, 3, 12, 12))
