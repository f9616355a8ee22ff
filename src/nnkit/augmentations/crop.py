"""crop: shifted crops of padded images."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from nnkit.augmentations._settings import check_range
from nnkit.data.augmentation import gathered


class Crop:
    """Pad an image by `padding` pixels (0 to 512) on each side and cut as large an image out of it, anywhere.

    All positions are equally likely. `fill`: the padding is black ("zero"), or the image mirrored at its
    border pixels ("reflect"). He, Zhang, Ren, Sun (2016), "Deep residual learning for image recognition",
    pad photographs of 32×32 by 4.
    """

    def __init__(self, *, padding: int = 4, fill: Literal["zero", "reflect"] = "zero") -> None:
        check_range("padding", padding, 0, 512)
        self.padding = padding
        self.fill = fill

    def __call__(self, images: Tensor, mask: Tensor | None, sizes: Tensor) -> tuple[Tensor, Tensor | None]:
        """Images (B, C, H, W), each shifted within its own height and width, and their mask."""
        low, high = -self.padding, self.padding + 1
        shifts = torch.randint(low, high, (len(images), 2), device=images.device)
        found, inside = [], []
        for axis, side in enumerate(images.shape[2:]):
            own = sizes[:, axis, None]
            wanted = torch.arange(side, device=images.device) + shifts[:, axis, None]
            inside.append((wanted >= 0) & (wanted < own))
            period = (2 * (own - 1)).clamp(min=1)
            folded = wanted.remainder(period)
            found.append(torch.where(folded < own, folded, period - folded))
        images = gathered(images, *found)
        if self.fill == "zero":
            rows, columns = inside
            images *= rows[:, None, :, None] & columns[:, None, None]
        return images, mask
