"""cutout: a black rectangle in each image."""

from __future__ import annotations

import torch
from torch import Tensor

from nnkit.augmentations._settings import check_range


class Cutout:
    """Set a square of each image to black; its centre is any pixel, and what lies outside is cut off.

    The square has a side of `size` pixels (1 to 8192). `share`, above 0 and up to 1, takes its place: the
    rectangle then has that share of the image's height and width. DeVries, Taylor (2017), "Improved
    regularization of convolutional neural networks with cutout".
    """

    def __init__(self, *, size: int = 8, share: float | None = None) -> None:
        check_range("size", size, 1, 8192)
        if share is not None:
            check_range("share", share, 1e-6, 1)
        self.size = size
        self.share = share

    def __call__(self, images: Tensor, mask: Tensor | None, sizes: Tensor) -> tuple[Tensor, Tensor | None]:
        """Images (B, C, H, W) with a rectangle of zeros in each, and their mask, which stays."""
        centres = (torch.rand(len(images), 2, device=images.device) * sizes).long()
        if self.share is None:
            sides = torch.full_like(sizes, self.size)
        else:
            sides = (sizes * self.share).round().long().clamp(min=1)
        firsts = centres - sides // 2
        is_cut = []
        for axis, side in enumerate(images.shape[2:]):
            places = torch.arange(side, device=images.device) - firsts[:, axis, None]
            is_cut.append((places >= 0) & (places < sides[:, axis, None]))
        rows, columns = is_cut
        return images * ~(rows[:, None, :, None] & columns[:, None, None]), mask
