"""Padded batches for tests: images at the top left of one block, and where they are."""

from __future__ import annotations

import torch
from torch import Tensor


def padded(images: list[Tensor], fill: float) -> tuple[Tensor, Tensor]:
    """Images (C, h, w) in one batch whose other pixels are `fill`, and its mask, bool (B, 1, H, W)."""
    height, width = (max(image.shape[axis] for image in images) for axis in (1, 2))
    batch = torch.full((len(images), images[0].shape[0], height, width), fill)
    mask = torch.zeros(len(images), 1, height, width, dtype=torch.bool)
    for n, image in enumerate(images):
        h, w = image.shape[1:]
        batch[n, :, :h, :w], mask[n, :, :h, :w] = image, True
    return batch, mask
