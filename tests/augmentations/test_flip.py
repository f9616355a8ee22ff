"""flip: an image or its mirror image, per image."""

from __future__ import annotations

import pytest
import torch

from augmentations.augmented import augmented, copies, random_images, which
from nnkit.build import build
from nnkit.errors import UsageError


@pytest.mark.parametrize(("spec", "axis"), [("flip", 2), ("flip:vertical=true", 1)])
def test_half_of_the_images_are_mirrored_each_by_its_own_draw(spec: str, axis: int) -> None:
    (image,) = random_images(1, 3, 6, 5)
    places = which(augmented(spec, copies(image, 2000)), torch.stack([image, image.flip(axis)]))
    assert float(places.float().mean()) == pytest.approx(0.5, abs=0.05)
    neighbours = torch.stack([places[1:], places[:-1]]).float()
    assert abs(float(torch.corrcoef(neighbours)[0, 1])) < 0.1


@pytest.mark.parametrize(("p", "share"), [(0.0, 0.0), (1.0, 1.0), (0.2, 0.2)])
def test_p_is_the_share_that_is_mirrored(p: float, share: float) -> None:
    (image,) = random_images(1, 1, 3, 7)
    places = which(augmented(f"flip:p={p}", copies(image, 2000)), torch.stack([image, image.flip(2)]))
    assert float(places.float().mean()) == pytest.approx(share, abs=0.04 if 0 < p < 1 else 0)


@pytest.mark.parametrize("p", [-0.1, 1.1])
def test_a_probability_out_of_range_is_refused(p: float) -> None:
    with pytest.raises(UsageError, match="expected p to be from 0 to 1"):
        build("augmentations", f"flip:p={p}")
