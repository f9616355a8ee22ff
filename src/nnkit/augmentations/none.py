"""none: images as they are."""

from __future__ import annotations

from torch import Tensor


class NoAugmentation:
    """Leaves the images as they are; it stands alone."""

    def __call__(self, images: Tensor, mask: Tensor | None, sizes: Tensor) -> tuple[Tensor, Tensor | None]:
        """The images (B, C, H, W) and the mask that it is given."""
        return images, mask
