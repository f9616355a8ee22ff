"""What augmentations of whole batches share: maps and blurs of each image, computed for all at once.

kornia's transforms of whole batches save one call per image. They draw from torch's default generator, which
training seeds at every step from (seed, epoch, step).

kornia does not handle padding: it rotates a padded image about the centre of the canvas. A batch with a mask
is therefore transformed here, by kornia's draws: each image within its own height and width, all its steps as
one homography, sampled once. A batch without a mask is kornia's own, to the bit.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

BLUR = "RandomGaussianBlur"


class KorniaAugmentation:
    """kornia's steps in turn: affine maps, rotations and perspectives, then perhaps a 3×3 Gaussian blur."""

    def __init__(self, steps: list[Any]) -> None:
        self.steps = steps
        self._whole = nn.Sequential(*steps)

    def __call__(self, images: Tensor, mask: Tensor | None, sizes: Tensor) -> tuple[Tensor, Tensor | None]:
        """Images (B, C, H, W) changed at random, and their mask, which stays: an image keeps its rectangle.

        `sizes`, int64 (B, 2), are the height and width of each; padding is at the bottom and right.
        Pixels that leave the rectangle of an image are lost, and zeros replace them.
        """
        if mask is None:
            changed: Tensor = self._whole(images)
            return changed, None
        drawn = [(type(step).__name__, step.forward_parameters(images.shape)) for step in self.steps]
        sides = sizes.to(images.dtype)
        homography = torch.eye(3).to(images)
        for kind, draws in drawn:
            if kind != BLUR:
                homography = _homographies(kind, draws, images, sides) @ homography
        images = warped(images, homography).mul_(mask)
        for kind, draws in drawn:
            if kind == BLUR:
                images = blurred(images, draws["sigma"].to(images), sizes).mul_(mask)
        return images, mask


def _homographies(kind: str, draws: Any, images: Tensor, sides: Tensor) -> Tensor:
    """The map of pixel coordinates (x, y, 1) of each image, (B, 3, 3), that a step drew.

    The draws are for images of the canvas's size: lengths are brought to each image's own.
    """
    canvas = sides.new_tensor([images.shape[3], images.shape[2]])
    shares = sides.flip(1) / canvas  # of width and height
    if kind == "RandomPerspective":
        start, end = (draws[key].to(sides) for key in ("start_points", "end_points"))
        corners = start / (canvas - 1).clamp(min=1) * (sides.flip(1) - 1)[:, None]
        moved = corners + (end - start) * shares[:, None]
        # Four corners on a line have no perspective: such an image is unchanged.
        flat = (sides.amin(dim=1) < 2)[:, None, None]
        made = _through(torch.where(flat, start, corners), torch.where(flat, start, moved))
    elif kind == "RandomRotation":
        # kornia turns counter-clockwise by a positive angle here, and clockwise in RandomAffine.
        made = _about_centre(sides, -draws["degrees"].to(sides))
    else:
        shift = draws["translations"].to(sides) * shares
        made = _about_centre(sides, draws["angle"].to(sides), draws["scale"][:, 0].to(sides), shift)
    is_hit = draws["batch_prob"].to(sides.device) > 0.5
    return torch.where(is_hit[:, None, None], made, torch.eye(3).to(sides))


def _about_centre(
    sides: Tensor, degrees: Tensor, scale: Tensor | None = None, shift: Tensor | None = None
) -> Tensor:
    """Turn clockwise and scale about the centre of each image, then shift by (x, y) pixels: (B, 3, 3)."""
    turn = torch.deg2rad(degrees)
    cos, sin = turn.cos(), turn.sin()
    if scale is not None:
        cos, sin = cos * scale, sin * scale
    y, x = ((sides - 1) / 2).unbind(1)
    to_x, to_y = x - cos * x + sin * y, y - sin * x - cos * y
    if shift is not None:
        to_x, to_y = to_x + shift[:, 0], to_y + shift[:, 1]
    nought, one = torch.zeros_like(cos), torch.ones_like(cos)
    return torch.stack([cos, -sin, to_x, sin, cos, to_y, nought, nought, one], dim=1).view(-1, 3, 3)


def _through(start: Tensor, end: Tensor) -> Tensor:
    """The homography that takes four points (B, 4, 2) to four others: eight linear equations for each."""
    x, y = start.unbind(2)
    u, v = end.unbind(2)
    nought, one = torch.zeros_like(x), torch.ones_like(x)
    across = torch.stack([x, y, one, nought, nought, nought, -u * x, -u * y], dim=2)
    down = torch.stack([nought, nought, nought, x, y, one, -v * x, -v * y], dim=2)
    solved = torch.linalg.solve_ex(torch.cat([across, down], dim=1), torch.cat([u, v], dim=1))[0]
    return torch.cat([solved, one[:, :1]], dim=1).view(-1, 3, 3)


def warped(images: Tensor, homographies: Tensor) -> Tensor:
    """Images (B, C, H, W) whose pixels moved by the homographies (B, 3, 3): bilinear, zeros outside."""
    height, width = images.shape[2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=images.device, dtype=images.dtype),
        torch.arange(width, device=images.device, dtype=images.dtype),
        indexing="ij",
    )
    points = torch.stack([x, y, torch.ones_like(x)], dim=2).view(-1, 3)
    found = points @ torch.linalg.inv_ex(homographies)[0].transpose(1, 2)  # (B, H·W, 3)
    found = found[..., :2] / found[..., 2:]
    # Pixel p lies at (2 p + 1) / side - 1 in grid_sample's coordinates.
    grid = (2 * found + 1) / found.new_tensor([width, height]) - 1
    sampled: Tensor = nn.functional.grid_sample(
        images, grid.view(-1, height, width, 2), padding_mode="zeros", align_corners=False
    )
    return sampled


def gathered(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Images (B, C, H, W) whose pixel (y, x) is that at (rows[y], columns[x]): int64 (B, H) and (B, W)."""
    places = (rows[:, :, None] * images.shape[3] + columns[:, None]).flatten(1)
    found = images.flatten(2).gather(2, places[:, None].expand(-1, images.shape[1], -1))
    return found.view(images.shape)


def blurred(images: Tensor, sigma: Tensor, sizes: Tensor) -> Tensor:
    """A 3×3 Gaussian blur of each image (B, C, H, W) within its own height and width (B, 2), its border
    reflected."""
    side = torch.exp(-0.5 / sigma.view(-1, 1, 1, 1) ** 2)
    middle, side = 1 / (1 + 2 * side), side / (1 + 2 * side)
    for axis in (3, 2):
        last = sizes[:, axis - 2, None] - 1
        place = torch.arange(images.shape[axis], device=images.device)
        before = (place - 1).abs().expand(len(images), -1).minimum(last)
        after = torch.where(place >= last, (last - 1).clamp(min=0), place + 1)
        shape = (len(images), 1, 1, -1) if axis == 3 else (len(images), 1, -1, 1)
        neighbours = images.take_along_dim(before.view(shape), axis) + images.take_along_dim(
            after.view(shape), axis
        )
        images = middle * images + side * neighbours
    return images
