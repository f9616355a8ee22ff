"""Centre-of-mass crop: a square window about the centre of mass of each image."""

from __future__ import annotations

import torch
from torch import Tensor


def centre_of_mass_crop(images: Tensor, side: int, mask: Tensor | None = None) -> Tensor:
    """The side × side window about each image's centre of mass: (B, C, H, W) to (B, C, side, side).

    The weight of a pixel is its value minus the smallest value of its image and channel, as MNIST's digits
    were centred (LeCun, Cortes and Burges, "The MNIST database"). A constant image is cropped at its middle.
    Outside the image the window repeats the image's edge. With `mask`, bool (B, 1, H, W), false where
    the image is padded at the bottom and right, each image is the rest alone. Gradients flow to the cropped
    pixels; the position of the window has no gradient.
    """
    num_rows, num_columns = _sizes(images, mask)
    with torch.no_grad():
        weights = _weights(images, mask)
        # In float64: in float32 padding could move a window by a pixel, through the order of the sum.
        of_sums = torch.float32 if images.device.type == "mps" else torch.float64
        rows = _window(weights.sum(dim=(1, 3), dtype=of_sums), num_rows, side)
        columns = _window(weights.sum(dim=(1, 2), dtype=of_sums), num_columns, side)
    batch = torch.arange(images.shape[0], device=images.device)[:, None, None]
    cropped = images.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]]
    return cropped.permute(0, 3, 1, 2)


def _sizes(images: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Height and width of each image without padding, int64 (B,) both."""
    if mask is not None:
        return mask[:, 0, :, 0].sum(dim=1), mask[:, 0, 0, :].sum(dim=1)
    count, _, height, width = images.shape
    return tuple(torch.full((count,), n, device=images.device) for n in (height, width))  # type: ignore[return-value]


def _weights(images: Tensor, mask: Tensor | None) -> Tensor:
    """(B, C, H, W), zero outside the image."""
    inside = images if mask is None else images.masked_fill(~mask, torch.inf)
    weights = images - inside.flatten(2).amin(dim=2)[:, :, None, None]
    return weights if mask is None else weights.masked_fill(~mask, 0)


def _window(weights: Tensor, lengths: Tensor, side: int) -> Tensor:
    """The places, int64 (B, side), about the centre of mass of weights (B, n) along one axis."""
    places = torch.arange(weights.shape[1], device=weights.device, dtype=weights.dtype)
    total = weights.sum(dim=1)
    middle = (lengths - 1) / 2
    centre = torch.where(total > 0, (weights * places).sum(dim=1) / total, middle.to(weights.dtype))
    # Halves always go up: rounded to even, they would go by the parity of the place.
    first = torch.floor(centre - (side - 1) / 2 + 0.5).to(torch.int64)
    window = first[:, None] + torch.arange(side, device=weights.device)
    return torch.minimum(window.clamp(min=0), lengths[:, None] - 1)
