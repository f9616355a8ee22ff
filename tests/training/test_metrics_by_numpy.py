"""Metrics are those of a loop in NumPy over all images and pixels, whatever the batches."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nnkit.data.images import Images
from nnkit.data.loaders import EvalLoader
from nnkit.training.evaluation import evaluate
from nnkit.training.metrics import TransformMetrics, batch_sum, make_metrics, per_image
from nnkit.types import Batch, Data, Split

CPU = torch.device("cpu")
SIZES = ((4, 4), (3, 7), (7, 3), (5, 5))
NUM_CLASSES = 4


class Quarters(nn.Module):
    """Four logits of images of any size: the sum of the pixels in each quarter of [0, 1], less a constant."""

    def forward(self, inputs: Tensor) -> Tensor:
        quarter = (inputs * 4).floor().clamp(max=3).flatten(1)
        sums = [(inputs.flatten(1) * (quarter == index)).sum(dim=1) - 0.01 * index for index in range(4)]
        return torch.stack(sums, dim=1)


def logits_of(pixels: np.ndarray) -> np.ndarray:
    """The same by a loop over the pixels of one image (H, W), uint8."""
    found = [0.0, -0.01, -0.02, -0.03]
    for value in pixels.ravel():
        found[min(3, int(value) * 4 // 255)] += value / 255
    return np.array(found)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from(SIZES), min_size=1, max_size=30),
    st.integers(1, 9),
    st.sampled_from(["mean", "sum"]),
    st.integers(0, 1000),
)
def test_metrics_of_classes_are_numpys_whatever_the_batches(
    sizes: list[tuple[int, int]], batch_size: int, reduction: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    arrays = [rng.integers(0, 255, size).astype(np.uint8) for size in sizes]
    labels = rng.integers(0, NUM_CLASSES, len(sizes))
    held = Images.from_arrays(arrays)
    split = Split(held, torch.from_numpy(labels), rng.permutation(len(sizes)))
    data = Data("classification", {"val": split}, 1, held.image_size, tuple("abcd"))
    metrics = make_metrics(data, CPU)
    batches = EvalLoader(data, split, batch_size=batch_size, device=CPU)
    evaluate(Quarters(), batches, nn.CrossEntropyLoss(reduction=reduction), metrics)

    logits = np.stack([logits_of(pixels) for pixels in arrays])
    shifted = logits - logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]
    guesses = logits.argmax(axis=1)
    result = metrics.result()
    assert result["loss"] == pytest.approx(losses.mean(), rel=1e-5, abs=1e-6)
    assert result["accuracy"] == np.mean(guesses == labels)
    names = sorted(
        {f"{h}x{w}" for h, w in sizes}, key=lambda name: (math.prod(map(int, name.split("x"))), name)
    )
    assert set(result) == {"loss", "accuracy"} | (
        {"accuracy_by_resolution", "loss_by_resolution", "images_by_resolution"} if len(names) > 1 else set()
    )
    confusion = metrics.confusion()  # type: ignore[attr-defined]
    assert list(confusion) == ["all", *(names if len(names) > 1 else [])]
    for name, matrix in confusion.items():
        here = np.array([name in ("all", f"{h}x{w}") for h, w in sizes])
        expected = np.zeros((NUM_CLASSES, NUM_CLASSES), int)
        for label, guess in zip(labels[here], guesses[here], strict=True):
            expected[label, guess] += 1
        assert matrix == expected.tolist()
        if name != "all":
            assert result["images_by_resolution"][name] == here.sum()
            assert result["accuracy_by_resolution"][name] == np.mean(guesses[here] == labels[here])
            assert result["loss_by_resolution"][name] == pytest.approx(
                losses[here].mean(), rel=1e-5, abs=1e-6
            )
    if len(names) > 1:
        assert list(result["accuracy_by_resolution"]) == list(result["loss_by_resolution"]) == names


def batched(values: Tensor, ends: list[int]) -> list[Tensor]:
    return [values[first:last] for first, last in itertools.pairwise([0, *ends, len(values)]) if first < last]


def by_loop(output: np.ndarray, target: np.ndarray) -> dict[str, Any]:
    """The transform metrics of images (N, C, H, W) by the definitions, pixel by pixel in float64."""
    squared, absolute, largest, alike, differing, near = 0.0, [], 0.0, 0, 0, 0
    for image, reference in zip(output, target, strict=True):
        errors = [float(a) - float(b) for a, b in zip(image.ravel(), reference.ravel(), strict=True)]
        squared += sum(error**2 for error in errors)
        absolute.append(sum(map(abs, errors)))
        largest = max([largest, *map(abs, errors)])
        a, b = image.ravel().astype(float), reference.ravel().astype(float)
        alike += (a @ b) / math.sqrt((a @ a) * (b @ b)) >= 0.95
        for value, wanted in zip(image.ravel(), reference.ravel(), strict=True):
            levels = [round(float(np.float32(min(max(x, 0), 1)) * np.float32(255))) for x in (value, wanted)]
            if levels[0] != levels[1]:
                differing += 1
                around = math.floor(wanted * 255)
                near += min(abs(float(wanted) - (at + 0.5) / 255) for at in (around - 1, around)) <= 1e-5
    mse = squared / output.size
    return {
        "mse": mse,
        "mae_sum": np.mean(absolute),
        "max_abs_error": largest,
        "psnr": 10 * math.log10(1 / mse),
        "cosine_accuracy": alike / len(output),
        "levels": {"differing": differing, "near_boundary": near},
    }


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 9),
    st.lists(st.integers(0, 9), max_size=4),
    st.sampled_from([0.002, 0.1, 0.5]),
    st.sampled_from(["mean", "sum"]),
    st.integers(0, 1000),
)
def test_metrics_of_images_are_those_of_a_loop_over_pixels_whatever_the_batches(
    num: int, ends: list[int], noise: float, reduction: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    target = rng.uniform(0, 1, (num, 3, 2, 3)).astype(np.float32)
    on_boundary = rng.integers(0, 4, target.shape)  # some references lie on a rounding boundary
    edges = ((rng.integers(0, 255, target.shape) + 0.5) / 255).astype(np.float32)
    target = np.where(on_boundary == 0, edges, target)
    output = (target + noise * rng.normal(size=target.shape)).astype(np.float32)  # leaves [0, 1] now and then
    metrics, loss = TransformMetrics(CPU), nn.MSELoss(reduction=reduction)
    ends = sorted(min(end, num) for end in ends)
    pairs = (batched(torch.from_numpy(images), ends) for images in (output, target))
    for made, wanted in zip(*pairs, strict=True):
        value = loss(made, wanted) * (1 if reduction == "sum" else len(wanted))
        metrics.add(made, Batch(made, wanted, np.arange(len(wanted))), value)
    found, expected = metrics.result(), by_loop(output, target)
    assert found["levels"] == expected.pop("levels")
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-6, abs=1e-12), name
    per_image = ((output - target).astype(float) ** 2).reshape(num, -1)
    wanted_loss = per_image.mean() if reduction == "mean" else per_image.sum(axis=1).mean()
    assert found["loss"] == pytest.approx(wanted_loss, rel=1e-5)


def test_an_image_counts_as_alike_from_a_cosine_of_0_95_on() -> None:
    target = torch.tensor([[1.0, 0.0]]).expand(4, -1)
    output = torch.stack([torch.tensor([c, math.sqrt(1 - c * c)]) for c in (0.9, 0.9499, 0.9501, 1.0)])
    metrics = TransformMetrics(CPU)
    metrics.add(
        output.view(4, 1, 1, 2), Batch(output, target.view(4, 1, 1, 2), np.arange(4)), torch.tensor(0.0)
    )
    assert metrics.result()["cosine_accuracy"] == 0.5


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_largest_error_may_be_in_any_batch(order: tuple[int, ...]) -> None:
    metrics = TransformMetrics(CPU)
    for index in order:
        target = torch.full((2, 1, 1, 2), 0.5)
        output = target + torch.tensor([0.1, -0.4, 0.2])[index]
        metrics.add(output, Batch(output, target, np.arange(2)), torch.tensor(0.0))
    assert metrics.result()["max_abs_error"] == pytest.approx(0.4)


def test_many_small_values_are_added_up_in_float64() -> None:
    metrics = make_metrics(Data("transform", {}, 1, (1, 1)), CPU)
    target = torch.zeros(1, 1, 1, 1)
    metrics.add(target + 4096.0, Batch(target, target, np.arange(1)), torch.tensor(2.0**24))
    for _ in range(64):
        metrics.add(target + 1e-3, Batch(target, target, np.arange(1)), torch.tensor(1.0))
    result = metrics.result()
    assert result["loss"] == (2**24 + 64) / 65
    small = float(torch.tensor(1e-3))
    assert result["mse"] == pytest.approx((4096.0**2 + 64 * small**2) / 65, rel=1e-14)


def test_classes_and_images_have_metrics_of_their_own_and_an_empty_split_has_none() -> None:
    held = Images.from_tensor(torch.zeros(2, 1, 4, 4, dtype=torch.uint8))
    classes = Data("classification", {}, 1, (4, 4), ("a", "b", "c"))
    empty = Split(held, torch.zeros(2, dtype=torch.int64), np.arange(0))
    metrics = make_metrics(classes, CPU)
    evaluate(
        nn.Flatten(), EvalLoader(classes, empty, batch_size=2, device=CPU), nn.CrossEntropyLoss(), metrics
    )
    assert metrics.confusion() == {"all": [[0, 0, 0]] * 3}  # type: ignore[attr-defined]
    assert set(metrics.result()) == {"loss", "accuracy"}
    assert all(math.isnan(value) for value in metrics.result().values())
    transform = make_metrics(Data("transform", {}, 1, (4, 4)), CPU).result()
    names = ["loss", "mse", "mae_sum", "max_abs_error", "psnr", "cosine_accuracy"]
    assert [name for name, value in transform.items() if value != value] == names
    assert transform["levels"] == {"differing": 0, "near_boundary": 0}
    assert transform["fidelity"]["class"] is None
    assert set(transform["fidelity"]) == {"class", "max_abs_error", "mae_sum"}


def test_a_loss_that_does_not_say_that_it_sums_is_a_mean() -> None:
    value = torch.tensor(12.0)
    for loss in (nn.Identity(), nn.MSELoss(), nn.CrossEntropyLoss(reduction="mean")):
        assert (float(batch_sum(loss, value, 4)), float(per_image(loss, value, 4))) == (48.0, 12.0)
    summed = nn.MSELoss(reduction="sum")
    assert (float(batch_sum(summed, value, 4)), float(per_image(summed, value, 4))) == (12.0, 3.0)
