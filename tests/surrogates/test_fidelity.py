"""The fidelity class against a loop over the values of all images, in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nnkit.surrogates.fidelity import fidelity_class
from nnkit.training.metrics import TransformMetrics
from nnkit.types import Batch

CPU = torch.device("cpu")

# In 8-bit levels, of which 1e-5 is 0.00255: a reference 0.001 from a boundary is near it, 0.01 is not.
REFERENCE = st.tuples(st.integers(2, 250), st.sampled_from([-0.499, -0.49, 0.0, 0.2, 0.49, 0.499])).map(sum)
ERROR = st.sampled_from([0.0, 0.002, -0.002, 0.1, 0.31, -0.31, 0.7, -1.2])
IMAGES = st.integers(1, 4).flatmap(
    lambda num_values: st.lists(
        st.lists(st.tuples(REFERENCE, ERROR), min_size=num_values, max_size=num_values),
        min_size=1,
        max_size=5,
    )
)


def by_a_loop(images: list[list[tuple[float, float]]]) -> str | None:
    """The class by its definition; None where the error is so near the threshold that rounding decides."""
    levels_agree, total = True, 0.0
    for image in images:
        for reference, error in image:
            total += abs(error)
            near = abs(reference % 1 - 0.5) < 1e-5 * 255
            if (round(reference) != round(reference + error) and not near) or abs(error) >= 1:
                levels_agree = False
    if levels_agree:
        return "exact"
    per_value = total / len(images) / len(images[0])
    if abs(per_value - 0.5) < 1e-3:
        return None
    return "half-level" if per_value < 0.5 else "approximate"


@settings(max_examples=200, deadline=None)
@given(images=IMAGES, batch_size=st.integers(1, 5))
def test_the_class_is_that_of_a_loop_over_values(
    images: list[list[tuple[float, float]]], batch_size: int
) -> None:
    expected = by_a_loop(images)
    array = torch.tensor(images, dtype=torch.float64)
    targets, outputs = array[..., 0] / 255, array.sum(-1) / 255
    metrics = TransformMetrics(CPU)
    for target, output in zip(targets.split(batch_size), outputs.split(batch_size), strict=True):
        shape = (len(target), 1, 1, -1)
        batch = Batch(target.view(shape), target.float().view(shape), np.arange(len(target)))
        metrics.add(output.float().view(shape), batch, torch.tensor(0.0))
    if expected is not None:
        assert metrics.result()["fidelity"]["class"] == expected


def of(
    differing: int, near_boundary: int, mae_sum: float, num_values: int = 784, largest: float = 0.0
) -> str:
    levels = {"differing": differing, "near_boundary": near_boundary}
    metrics = {"levels": levels, "mae_sum": mae_sum, "max_abs_error": largest}
    return fidelity_class(metrics, num_values)


def test_the_half_level_is_1_537_for_28_by_28_values_and_is_not_reached() -> None:
    half = 0.5 / 255 * 784
    assert round(half, 3) == 1.537
    assert of(1, 0, 0.0) == "half-level"
    assert of(1, 0, math.nextafter(half, 0)) == "half-level"
    assert of(1, 0, half) == "approximate"
    assert of(1, 0, 0.5 / 255 * 783, num_values=783) == "approximate"
    assert of(1, 0, 0.5 / 255 * 783, num_values=784) == "half-level"


def test_levels_that_agree_away_from_boundaries_are_exact_with_any_error_below_a_level() -> None:
    assert of(0, 0, 0.0) == "exact"
    assert of(7, 7, 100.0) == "exact"
    assert of(7, 7, 100.0, largest=math.nextafter(1 / 255, 0)) == "exact"
    assert of(7, 7, 100.0, largest=1 / 255) == "approximate"
    assert of(0, 0, 1.0, largest=1 / 255) == "half-level"
    assert of(7, 6, 100.0) == "approximate"
    assert of(7, 0, 0.1) == "half-level"


@pytest.mark.parametrize("mae_sum", [math.nan, math.inf])
@pytest.mark.parametrize("differing", [0, 3])
def test_an_error_that_is_no_number_is_approximate(mae_sum: float, differing: int) -> None:
    assert of(differing, 0, mae_sum) == of(differing, differing, mae_sum) == "approximate"


@pytest.mark.parametrize(("reference", "output"), [(-1.0, -2.98), (1.5, 3.0), (0.0, -0.01), (1.0, 1.005)])
def test_an_error_outside_the_range_of_8_bit_values_is_an_error(reference: float, output: float) -> None:
    """Both clamp to one 8-bit value: after a `normalize` step, errors of any size did."""
    target = torch.full((4, 1, 2, 2), reference)
    metrics = TransformMetrics(CPU)
    metrics.add(torch.full_like(target, output), Batch(target, target, np.arange(4)), torch.tensor(0.0))
    assert metrics.result()["fidelity"]["class"] == "approximate"
