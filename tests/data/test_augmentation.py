from __future__ import annotations

from typing import Any

import pytest
import torch

from nnkit.data.augmentation import make_augmentation

NAMES: list[Any] = ["affine", "rotate", "report"]


def augmented(name: Any, images: torch.Tensor, seed: int) -> torch.Tensor:
    augment = make_augmentation(name)
    assert augment is not None
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return augment(images)


@pytest.fixture
def images() -> torch.Tensor:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.rand(32, 1, 20, 16)


def test_none_augments_nothing() -> None:
    assert make_augmentation("none") is None


@pytest.mark.parametrize("name", NAMES)
def test_images_keep_shape_and_range_and_are_changed(name: Any, images: torch.Tensor) -> None:
    before = images.clone()
    result = augmented(name, images, 1)
    assert result.shape == images.shape
    assert result.dtype == torch.float32
    assert float(result.min()) >= -1e-6
    assert float(result.max()) <= 1 + 1e-6
    assert not torch.equal(result, images)
    assert torch.equal(images, before)


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_says_what_is_drawn(name: Any, images: torch.Tensor) -> None:
    assert torch.equal(augmented(name, images, 1), augmented(name, images, 1))
    assert not torch.equal(augmented(name, images, 1), augmented(name, images, 2))


@pytest.mark.parametrize("name", NAMES)
def test_each_image_gets_a_draw_of_its_own(name: Any, images: torch.Tensor) -> None:
    same = images[:1].expand(32, -1, -1, -1).clone()
    assert len({row.sum().item() for row in augmented(name, same, 1)}) > 4


def test_rotation_leaves_about_half_of_the_images_alone(images: torch.Tensor) -> None:
    many = images.repeat(8, 1, 1, 1)
    kept = (augmented("rotate", many, 1) == many).flatten(1).all(dim=1).float().mean()
    assert 0.4 < float(kept) < 0.6


def test_an_affine_map_moves_no_pixel_far() -> None:
    images = torch.zeros(64, 1, 41, 41)
    images[:, :, 18:23, 18:23] = 1
    result = augmented("affine", images, 1)
    weights = result.sum(dim=(1, 2, 3))
    rows = (result.sum(dim=3)[:, 0] * torch.arange(41)).sum(dim=1) / weights - 20
    assert float(rows.abs().max()) <= 0.05 * 41 + 0.5
    assert float(weights.min()) > 25 * 0.9**2 * 0.8
    assert float(weights.max()) < 25 * 1.1**2 * 1.2
