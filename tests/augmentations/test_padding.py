"""What becomes of an image depends neither on the canvas that it is padded to nor on its neighbours there."""

from __future__ import annotations

import pytest
import torch

from augmentations.augmented import augmented, random_images
from nnkit.build import build

SPECS = [
    "flip",
    "flip:vertical=true",
    "crop",
    "crop:padding=9,fill=reflect",
    "cutout",
    "cutout:share=0.5",
    "color-jitter:hue=0.2",
]


@pytest.mark.parametrize("spec", SPECS)
def test_a_padded_image_becomes_what_it_becomes_alone(spec: str) -> None:
    images = random_images(12, 3, 7, 10)
    canvas = torch.nn.functional.pad(images, (0, 6, 0, 20))
    mask = torch.nn.functional.pad(torch.ones(12, 1, 7, 10, dtype=torch.bool), (0, 6, 0, 20))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        result, there = build("augmentations", spec)(canvas, mask, torch.tensor([[7, 10]] * 12))
    assert torch.equal(there, mask)
    torch.testing.assert_close(result[:, :, :7, :10], augmented(spec, images))


@pytest.mark.parametrize("spec", SPECS)
def test_images_of_several_sizes_share_a_batch(spec: str) -> None:
    sizes = torch.tensor([[1, 1], [1, 9], [2, 2], [9, 1], [9, 9], [5, 7]])
    mask = torch.zeros(6, 1, 9, 9, dtype=torch.bool)
    for place, (height, width) in enumerate(sizes.tolist()):
        mask[place, :, :height, :width] = True
    images = random_images(6, 3, 9, 9) * mask
    for seed in range(10):
        torch.manual_seed(seed)
        together = build("augmentations", spec)(images.clone(), mask, sizes)[0]
        assert together.isfinite().all()
        for place, (height, width) in enumerate(sizes.tolist()):
            own = images.clone()
            own[place + 1 :], own[:place] = 0.5, 0.5
            torch.manual_seed(seed)
            alone = build("augmentations", spec)(own, mask, sizes)[0]
            assert torch.equal(alone[place, :, :height, :width], together[place, :, :height, :width])
