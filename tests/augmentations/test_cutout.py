"""cutout: a black rectangle about a pixel of the image, each pixel equally likely."""

from __future__ import annotations

import pytest
import torch

from augmentations.augmented import assert_equally_likely, augmented, copies, random_images, which
from nnkit.build import build
from nnkit.errors import UsageError


def cut(image: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """The image without the rectangle about each of its pixels in turn."""
    found = []
    for y in range(image.shape[1]):
        for x in range(image.shape[2]):
            one = image.clone()
            top, left = y - height // 2, x - width // 2
            one[:, max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)] = 0
            found.append(one)
    return torch.stack(found)


@pytest.mark.parametrize(
    ("spec", "height", "width"),
    [("cutout", 8, 8), ("cutout:size=1", 1, 1), ("cutout:size=3", 3, 3), ("cutout:share=0.5", 5, 4)],
)
def test_a_rectangle_about_any_pixel_is_black(spec: str, height: int, width: int) -> None:
    (image,) = random_images(1, 2, 10, 8)
    places = which(augmented(spec, copies(image, 8000)), cut(image, height, width))
    if height < 8:  # from a large one, several centres leave the same
        assert_equally_likely(places, 80)


def test_a_share_of_everything_may_leave_nothing() -> None:
    assert not augmented("cutout:size=64", random_images(4, 1, 9, 9)).any()


@pytest.mark.parametrize("setting", ["size=0", "share=0.0", "share=1.5"])
def test_settings_out_of_range_are_refused(setting: str) -> None:
    name = setting.partition("=")[0]
    with pytest.raises(UsageError, match=f"expected {name} to be from"):
        build("augmentations", f"cutout:{setting}")
