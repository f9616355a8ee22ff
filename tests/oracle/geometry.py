"""Augmentation by its own geometry: pixels moved one homography at a time, in float64, from drawn parameters.

For affine, rotate and report the parameters are drawn by kornia's own generators with the ranges that the
documentation gives, so that a range that is not passed on is seen; for the others by the calls in `DRAWN`.
Sampling is bilinear with zeros outside, written out below.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import kornia.augmentation as K
import torch
from torch import Tensor

RANGES = {
    "affine": {"degrees": 10.0, "translate": (0.05, 0.05), "scale": (0.9, 1.1)},
    "report": {"degrees": 15.0, "translate": (0.1, 0.1), "scale": (0.9, 1.1)},
}


def augmented(name: str, images: Tensor, mask: Tensor | None = None) -> Tensor:
    """Images in [0, 1], (B, C, H, W), augmented by each of the specs in turn that "+" joins; draws from
    torch's generator."""
    for spec in name.split("+"):
        images = _augmented(spec, images, mask)
    return images


def _augmented(name: str, images: Tensor, mask: Tensor | None) -> Tensor:
    if name == "none":
        return images
    if name in DRAWN:
        drawn = DRAWN[name](images)
        return torch.stack([_cut_out(name, *one) for one in _own(images, mask, drawn)])
    if mask is not None:
        return _padded_augmented(name, images, mask)
    if name == "rotate":
        drawn = K.RandomRotation(20.0, p=0.5).forward_parameters(images.shape)
        # A positive angle turns counter-clockwise here, clockwise in the affine map: kornia's convention.
        drawn_maps = [_about_centre(images, -float(angle)) for angle in drawn["degrees"]]
        return _warped_all(images, _applied(drawn_maps, drawn))
    drawn = K.RandomAffine(**RANGES[name], p=1.0).forward_parameters(images.shape)
    columns = (drawn["angle"], drawn["scale"][:, 0], drawn["translations"])
    maps = [_about_centre(images, float(a), float(s), t.tolist()) for a, s, t in zip(*columns, strict=True)]
    images = _warped_all(images, maps)
    if name == "affine":
        return images
    drawn = K.RandomPerspective(0.1, p=0.5).forward_parameters(images.shape)
    corners = zip(drawn["start_points"], drawn["end_points"], strict=True)
    images = _warped_all(images, _applied([_perspective(*pair) for pair in corners], drawn))
    sigmas = K.RandomGaussianBlur((3, 3), (0.1, 1.0), p=1.0).forward_parameters(images.shape)["sigma"]
    return torch.cat(
        [_blurred(image[None], float(sigma)) for image, sigma in zip(images, sigmas, strict=True)]
    )


DRAWN: Mapping[str, Callable[[Tensor], Tensor]] = {
    "flip": lambda images: torch.rand(len(images)),
    "flip:vertical=true": lambda images: torch.rand(len(images)),
    "crop:padding=2": lambda images: torch.randint(-2, 3, (len(images), 2)),
    "crop:padding=3,fill=reflect": lambda images: torch.randint(-3, 4, (len(images), 2)),
    "cutout:size=4": lambda images: torch.rand(len(images), 2),
    "cutout:share=0.5": lambda images: torch.rand(len(images), 2),
    "color-jitter": lambda images: torch.rand(4, len(images), 1, 1, 1).flatten(1).T,
}
"""What is drawn for the images of a batch, by spec: a row or a number for each."""


def _own(
    images: Tensor, mask: Tensor | None, drawn: Tensor
) -> Iterator[tuple[Tensor, tuple[int, int], list[float]]]:
    """Each image on its canvas, its own height and width, and what was drawn for it."""
    for place, image in enumerate(images):
        inside = torch.ones_like(image[0]) if mask is None else mask[place, 0]
        size = int(inside[:, 0].sum()), int(inside[0].sum())
        yield image, size, drawn[place].double().reshape(-1).tolist()


def _cut_out(name: str, canvas: Tensor, size: tuple[int, int], drawn: list[float]) -> Tensor:
    """The image cut out of its canvas, changed pixel by pixel as documented, and put back."""
    height, width = size
    image, result = canvas[:, :height, :width], torch.zeros_like(canvas)
    if name.startswith("flip"):
        axis = 1 if "vertical" in name else 2
        places = range(image.shape[axis])
        mirrored = torch.stack([image.select(axis, place) for place in reversed(places)], dim=axis)
        new = mirrored if drawn[0] < 0.5 else image
    elif name.startswith("crop"):
        new = _shifted(image, int(drawn[0]), int(drawn[1]), reflect="reflect" in name)
    elif name.startswith("cutout"):
        tall, wide = (4, 4) if "size" in name else (round(height / 2), round(width / 2))
        new = image.clone()
        top, left = int(drawn[0] * height) - tall // 2, int(drawn[1] * width) - wide // 2
        new[:, max(top, 0) : max(top + tall, 0), max(left, 0) : max(left + wide, 0)] = 0
    else:
        new = _jittered(image, [1 + 0.4 * (2 * draw - 1) for draw in drawn])
    result[:, :height, :width] = new
    return result


def _shifted(image: Tensor, down: int, right: int, *, reflect: bool) -> Tensor:
    """The crop whose top left corner lies `down` and `right` of the image's; outside black or mirrored."""
    _, height, width = image.shape
    new = torch.zeros_like(image)
    for y in range(height):
        for x in range(width):
            row, column = y + down, x + right
            if reflect:
                row, column = _folded(row, height), _folded(column, width)
            if 0 <= row < height and 0 <= column < width:
                new[:, y, x] = image[:, row, column]
    return new


def _folded(place: int, side: int) -> int:
    """A place outside, mirrored at the border pixels until it is inside."""
    while not 0 <= place < side:
        place = -place if place < 0 else 2 * (side - 1) - place
    return place


def _jittered(image: Tensor, factors: list[float]) -> Tensor:
    """A grey image, brighter by the first factor, its distance from the mean by the second."""
    assert len(image) == 1
    image = (factors[0] * image).clamp(0, 1)
    mean = float(image.mean())
    return (mean + factors[1] * (image - mean)).clamp(0, 1)


def _padded_augmented(name: str, images: Tensor, mask: Tensor) -> Tensor:
    """Each image cut out of its canvas, moved by one homography within its own rectangle, and put back."""
    canvas = torch.tensor([images.shape[3], images.shape[2]], dtype=torch.float64)
    first_step = K.RandomRotation(20.0, p=0.5) if name == "rotate" else K.RandomAffine(**RANGES[name], p=1.0)
    steps = [first_step]
    if name == "report":
        steps += [K.RandomPerspective(0.1, p=0.5), K.RandomGaussianBlur((3, 3), (0.1, 1.0), p=1.0)]
    drawn = [step.forward_parameters(images.shape) for step in steps]
    result = torch.zeros_like(images)
    for place, (image, inside) in enumerate(zip(images, mask[:, 0], strict=True)):
        height, width = int(inside[:, 0].sum()), int(inside[0].sum())
        own = image[None, :, :height, :width]
        share = torch.tensor([width, height], dtype=torch.float64) / canvas
        first, whole = drawn[0], torch.eye(3, dtype=torch.float64)
        if name == "rotate":
            if float(first["batch_prob"][place]) > 0.5:
                whole = _about_centre(own, -float(first["degrees"][place]))
        else:
            shift = (first["translations"][place].double() * share).tolist()
            whole = _about_centre(own, float(first["angle"][place]), float(first["scale"][place, 0]), shift)
        if name == "report" and float(drawn[1]["batch_prob"][place]) > 0.5:
            x, y = width - 1, height - 1
            corners = torch.tensor([[0, 0], [x, 0], [x, y], [0, y]], dtype=torch.float64)
            inward = (drawn[1]["end_points"][place] - drawn[1]["start_points"][place]).double() * share
            whole = _perspective(corners, corners + inward) @ whole
        moved = warped(own[0], whole)
        if name == "report":
            moved = _blurred(moved[None], float(drawn[2]["sigma"][place]))[0]
        result[place, :, :height, :width] = moved
    return result


def _applied(maps: list[Tensor], drawn: Mapping[str, Tensor]) -> list[Tensor | None]:
    """The maps of those images that are to be changed, None for the others."""
    return [m if float(on) > 0.5 else None for m, on in zip(maps, drawn["batch_prob"], strict=True)]


def _about_centre(
    images: Tensor, degrees: float, scale: float = 1.0, shift: list[float] | None = None
) -> Tensor:
    """The homography (3, 3) that turns clockwise, scales about the centre, then shifts by (x, y)."""
    height, width = images.shape[2:]
    x, y = (width - 1) / 2, (height - 1) / 2
    c, s = scale * math.cos(math.radians(degrees)), scale * math.sin(math.radians(degrees))
    dx, dy = shift or (0.0, 0.0)
    return torch.tensor(
        [[c, -s, x - c * x + s * y + dx], [s, c, y - s * x - c * y + dy], [0, 0, 1]], dtype=torch.float64
    )


def _perspective(start: Tensor, end: Tensor) -> Tensor:
    """The homography that takes four points (x, y) to four others: eight equations."""
    rows, right = [], []
    for (x, y), (u, v) in zip(start.double().tolist(), end.double().tolist(), strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    solved = torch.linalg.solve(
        torch.tensor(rows, dtype=torch.float64), torch.tensor(right, dtype=torch.float64)
    )
    return torch.cat([solved, torch.ones(1, dtype=torch.float64)]).view(3, 3)


def _warped_all(images: Tensor, maps: list[Tensor | None]) -> Tensor:
    return torch.stack(
        [image if m is None else warped(image, m) for image, m in zip(images, maps, strict=True)]
    )


def warped(image: Tensor, homography: Tensor) -> Tensor:
    """An image (C, H, W) whose pixels moved by a homography: bilinear, zeros outside."""
    height, width = image.shape[1:]
    ys, xs = torch.meshgrid(
        torch.arange(height, dtype=torch.float64), torch.arange(width, dtype=torch.float64), indexing="ij"
    )
    x, y, z = (torch.linalg.inv(homography) @ torch.stack([xs, ys, torch.ones_like(xs)]).flatten(1)).view(
        3, height, width
    )
    x, y = x / z, y / z
    left, top = x.floor(), y.floor()
    result = torch.zeros_like(image)
    for column, across in ((left, 1 - (x - left)), (left + 1, x - left)):
        for row, down in ((top, 1 - (y - top)), (top + 1, y - top)):
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            pixels = image[:, row.clamp(0, height - 1).long(), column.clamp(0, width - 1).long()]
            result = result + (pixels * (across * down * inside).to(image.dtype))
    return result


def _blurred(image: Tensor, sigma: float) -> Tensor:
    """A 3×3 Gaussian blur of (1, C, H, W), the border reflected."""
    side = math.exp(-1 / (2 * sigma**2))
    weights = torch.tensor([side, 1, side], dtype=image.dtype) / (1 + 2 * side)
    padded = torch.nn.functional.pad(image, (1, 1, 1, 1), mode="reflect")
    across = sum(weights[k] * padded[:, :, :, k : k + image.shape[3]] for k in range(3))
    return sum(weights[k] * across[:, :, k : k + image.shape[2]] for k in range(3))
