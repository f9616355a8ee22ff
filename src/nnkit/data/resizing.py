"""Resizing of 8-bit images, shared by all datasets."""

from __future__ import annotations

import torchvision.transforms.v2.functional as F
from torch import Tensor

from nnkit.types import Size


def resize(images: Tensor, size: Size) -> Tensor:
    """uint8 (B, C, h, w) to uint8 (B, C, *size): bilinear with antialiasing, whatever the proportions.

    Both sides of `size` are at least 2. An image is the same alone and among others.
    """
    resized: Tensor = F.resize(images, list(size), antialias=True)
    return resized
