"""The poolings against a loop over images and channels, with a mask and without."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from nnkit.build import build

OF_PIXELS = {"max": np.max, "amax": np.max, "avg": np.mean}


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", OF_PIXELS)
@settings(max_examples=30, deadline=None)
@given(
    images=st.integers(0, 3),
    channels=st.integers(1, 3),
    sides=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    masked=st.booleans(),
    seed=st.integers(0, 99),
)
def test_each_channel_of_each_image_is_pooled_by_itself(
    name: str, images: int, channels: int, sides: tuple[int, int], masked: bool, seed: int
) -> None:
    inputs = drawn(seed, images, channels, *sides)
    mask = drawn(seed + 1, images, 1, *sides) > 0
    mask[:, :, 0, 0] = True
    if masked:
        inputs = torch.where(mask, inputs, torch.tensor(math.nan))
    found = build("poolings", name)(inputs, mask) if masked else build("poolings", name)(inputs)
    assert found.shape == (images, channels)
    for n in range(images):
        seen = mask[n, 0].numpy() if masked else np.ones(sides, dtype=bool)
        for c in range(channels):
            expected = OF_PIXELS[name](inputs[n, c].numpy()[seen])
            assert float(found[n, c]) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("name", OF_PIXELS)
def test_gradients_are_those_that_differences_give(name: str) -> None:
    inputs, mask = drawn(0, 2, 3, 4, 5).requires_grad_(), drawn(1, 2, 1, 4, 5) > 0
    pooling = build("poolings", name)
    assert gradcheck(pooling, (inputs,))
    assert gradcheck(pooling, (inputs, mask))


@pytest.mark.parametrize(("name", "nothing"), [("max", -math.inf), ("amax", -math.inf), ("avg", math.nan)])
def test_an_image_of_which_the_mask_shows_nothing_gives_no_finite_value(name: str, nothing: float) -> None:
    mask = torch.ones(2, 1, 2, 2, dtype=torch.bool)
    mask[1] = False
    found = build("poolings", name)(torch.ones(2, 3, 2, 2), mask)
    assert found[0].tolist() == [1, 1, 1]
    assert found[1].tolist() == pytest.approx([nothing] * 3, nan_ok=True)
