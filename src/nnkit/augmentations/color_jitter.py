"""color-jitter: brightness, contrast, saturation and hue."""

from __future__ import annotations

import torch
from torch import Tensor

from nnkit.augmentations._settings import check_range

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luma of ITU-R BT.601."""


class ColorJitter:
    """Change brightness, contrast, saturation and hue of each image, in this order.

    Three factors are uniform between 1 - s and 1 + s for a setting s from 0 to 1: `brightness` multiplies the
    pixels, `contrast` their distance from the image's mean luma, `saturation` their distance from their own
    luma. `hue`, from 0 to 0.5, shifts the hue by up to that share of the circle, either way. Values are cut
    off at 0 and 1 after each. Saturation and hue change images of three channels only; the luma of others is
    the mean of their channels.
    """

    def __init__(
        self, *, brightness: float = 0.4, contrast: float = 0.4, saturation: float = 0.4, hue: float = 0.0
    ) -> None:
        check_range("brightness", brightness, 0, 1)
        check_range("contrast", contrast, 0, 1)
        check_range("saturation", saturation, 0, 1)
        check_range("hue", hue, 0, 0.5)
        self.brightness = brightness
        self.contrast = contrast
        self.saturation = saturation
        self.hue = hue

    def __call__(self, images: Tensor, mask: Tensor | None, sizes: Tensor) -> tuple[Tensor, Tensor | None]:
        """Images (B, C, H, W) in [0, 1], changed, and their mask."""
        # All four are drawn whatever the settings, so that one of them changes no other's draws.
        draws = (2 * torch.rand(4, len(images), 1, 1, 1, device=images.device) - 1).to(images)
        if self.brightness:
            images = (images * (1 + self.brightness * draws[0])).clamp(0, 1)
        if self.contrast:
            luma = _luma(images) if mask is None else _luma(images) * mask
            mean = luma.sum((2, 3), keepdim=True) / sizes.prod(1).view(-1, 1, 1, 1)
            images = _away(mean, images, 1 + self.contrast * draws[1])
        if images.shape[1] == 3:
            if self.saturation:
                images = _away(_luma(images), images, 1 + self.saturation * draws[2])
            if self.hue:
                images = _hue_shifted(images, (self.hue * draws[3])[:, 0])
        return images, mask


def _luma(images: Tensor) -> Tensor:
    """The luma (B, 1, H, W) of images (B, C, H, W)."""
    if images.shape[1] != 3:
        return images.mean(1, keepdim=True)
    red, green, blue = images.unbind(1)
    return (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue)[:, None]


def _away(origin: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    """Images whose distance from `origin` is `factor` times theirs, cut off at 0 and 1."""
    return (origin + factor * (images - origin)).clamp(0, 1)


def _hue_shifted(images: Tensor, shift: Tensor) -> Tensor:
    """RGB images (B, 3, H, W) whose hue is turned by `shift` (B, 1, 1), a share of the circle.

    Hue, chroma and value of HSV: Smith (1978), "Color gamut transform pairs".
    """
    red, green, blue = images.unbind(1)
    value, chroma = images.amax(1), images.amax(1) - images.amin(1)
    divisor = torch.where(chroma > 0, chroma, 1)
    sector = torch.where(
        value == red,
        (green - blue) / divisor,
        torch.where(value == green, (blue - red) / divisor + 2, (red - green) / divisor + 4),
    )
    sector = sector + 6 * shift
    found = []
    for start in (5, 3, 1):
        place = (sector + start).remainder(6)
        found.append(value - chroma * torch.minimum(place, 4 - place).clamp(0, 1))
    return torch.stack(found, dim=1).clamp(0, 1)
