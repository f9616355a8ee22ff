"""crop: one of the crops of the padded image, all equally likely."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from augmentations.augmented import assert_equally_likely, augmented, copies, random_images, which
from nnkit.build import build
from nnkit.errors import ConfigError, UsageError


def crops(image: torch.Tensor, padding: int, fill: str) -> torch.Tensor:
    """All the crops as large as the image from the padded image."""
    mode: Any = {"zero": "constant", "reflect": "reflect"}[fill]
    padded = np.pad(image.numpy(), ((0, 0), (padding, padding), (padding, padding)), mode=mode)
    _, height, width = image.shape
    steps = range(2 * padding + 1)
    found = [padded[:, y : y + height, x : x + width] for y in steps for x in steps]
    return torch.from_numpy(np.stack(found))


@pytest.mark.parametrize(("height", "width"), [(9, 7), (3, 2)])
@pytest.mark.parametrize("fill", ["zero", "reflect"])
@pytest.mark.parametrize("padding", [1, 2, 4])
def test_each_image_is_one_of_the_crops_and_each_crop_as_likely(
    padding: int, fill: str, height: int, width: int
) -> None:
    (image,) = random_images(1, 2, height, width)
    candidates, places = torch.unique(crops(image, padding, fill), dim=0, return_inverse=True)
    results = augmented(f"crop:padding={padding},fill={fill}", copies(image, 3000))
    drawn = which(results, candidates)
    if len(candidates) == len(places):  # a small image's crops may be equal
        assert_equally_likely(drawn, len(candidates))


def test_the_padding_is_4_black_pixels() -> None:
    (image,) = random_images(1, 1, 16, 16)
    assert_equally_likely(which(augmented("crop", copies(image, 4000)), crops(image, 4, "zero")), 81)


def test_no_padding_leaves_the_images_as_they_are() -> None:
    images = random_images(5, 3, 8, 9)
    assert torch.equal(augmented("crop:padding=0", images), images)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(UsageError, match="expected padding to be from 0 to 512, but got padding=-1"):
        build("augmentations", "crop:padding=-1")
    with pytest.raises(ConfigError, match="expected one of zero, reflect"):
        build("augmentations", "crop:fill=edge")
