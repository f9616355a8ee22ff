"""flip: mirrored images."""

from __future__ import annotations

import torch
from torch import Tensor

from nnkit.augmentations._settings import check_range
from nnkit.data.augmentation import gathered


class Flip:
    """Mirror an image left to right with probability `p`; with `vertical`, top to bottom instead.

    `flip` and `flip:vertical=true` together do both, each by its own draw.
    """

    def __init__(self, *, p: float = 0.5, vertical: bool = False) -> None:
        check_range("p", p, 0, 1)
        self.p = p
        self.vertical = vertical

    def __call__(self, images: Tensor, mask: Tensor | None, sizes: Tensor) -> tuple[Tensor, Tensor | None]:
        """Images (B, C, H, W), each mirrored within its own height and width, and their mask."""
        is_hit = torch.rand(len(images), device=images.device) < self.p
        rows, columns = (
            torch.arange(side, device=images.device).expand(len(images), -1) for side in images.shape[2:]
        )
        if self.vertical:
            rows = _mirrored(rows, sizes[:, :1], is_hit)
        else:
            columns = _mirrored(columns, sizes[:, 1:], is_hit)
        return gathered(images, rows, columns), mask


def _mirrored(places: Tensor, side: Tensor, is_hit: Tensor) -> Tensor:
    """For each place (B, side of the canvas) the one opposite within the image, where it is hit."""
    return torch.where(is_hit[:, None] & (places < side), side - 1 - places, places)
