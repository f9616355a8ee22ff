"""What the tests of augmentations share: images of one size, augmented by name, and padded ones."""

from __future__ import annotations

import torch
from torch import Tensor

from nnkit.build import build


def augmented(spec: str, images: Tensor, seed: int = 0) -> Tensor:
    """Images (B, C, H, W) of one size, augmented from a seed; torch's generator is left as it was."""
    sizes = torch.tensor([images.shape[2:]] * len(images))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        result: Tensor = build("augmentations", spec)(images.clone(), None, sizes)[0]
    return result


def random_images(count: int, channels: int, height: int, width: int) -> Tensor:
    """Random images (B, C, H, W) in [0, 1]."""
    return torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(0))


def copies(image: Tensor, count: int) -> Tensor:
    """One image (C, H, W) so many times."""
    return image.expand(count, -1, -1, -1).contiguous()


def which(results: Tensor, candidates: Tensor) -> Tensor:
    """For each result (B, C, H, W) its place among the candidates (K, C, H, W); `AssertionError` for none."""
    found = (results[:, None] == candidates[None]).flatten(2).all(dim=2)
    assert bool(found.any(dim=1).all()), "an image that is none of the possible ones"
    return found.int().argmax(dim=1)


def assert_equally_likely(places: Tensor, number: int) -> None:
    """Each of `number` places is drawn as often as the others, as far as a chi-squared test can tell."""
    from scipy import stats

    assert stats.chisquare(torch.bincount(places, minlength=number).numpy()).pvalue > 0.001
