"""affine, rotate and report against a geometry of their own: pixel coordinates, bilinear, zeros outside."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats

from nnkit.build import build

Array = NDArray[np.float64]

NAMES = ["affine", "rotate", "report"]
DRAWS = 2000
TURNS = {"affine": 10.0, "rotate": 20.0, "report": 15.0}
SHIFTS = {"affine": 0.05, "report": 0.1}


def sizes_of(images: torch.Tensor) -> torch.Tensor:
    return torch.tensor([images.shape[2:]] * len(images))


def augmented(name: str, images: torch.Tensor, seed: int) -> torch.Tensor:
    augment = build("augmentations", name)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        result: torch.Tensor = augment(images, None, sizes_of(images))[0]
        return result


def random_images(count: int, channels: int, height: int, width: int) -> torch.Tensor:
    return torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", NAMES)
def test_images_keep_shape_type_and_range(name: str) -> None:
    images = random_images(32, 1, 20, 16)
    before = images.clone()
    result = augmented(name, images, 1)
    assert result.shape == images.shape
    assert result.dtype == torch.float32
    assert float(result.min()) >= -1e-6
    assert float(result.max()) <= 1 + 1e-6
    assert torch.equal(images, before)


@pytest.mark.parametrize("name", NAMES)
def test_torchs_seed_alone_says_what_is_drawn(name: str) -> None:
    images = random_images(32, 1, 20, 16)
    assert torch.equal(augmented(name, images, 1), augmented(name, images, 1))
    assert not torch.equal(augmented(name, images, 1), augmented(name, images, 2))


# The judge: each output pixel looks up where it came from.


def warped(image: Array, forward: Array) -> Array:
    """An image (C, H, W) moved by the map of its pixels' (x, y, 1): bilinear, zero outside the image."""
    _, height, width = image.shape
    y, x = np.mgrid[:height, :width]
    source = np.linalg.inv(forward) @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    at_x = (source[0] / source[2]).clip(-1, width)
    at_y = (source[1] / source[2]).clip(-1, height)
    padded = np.pad(image, ((0, 0), (1, 2), (1, 2)))
    left, top = np.floor(at_x).astype(int), np.floor(at_y).astype(int)
    right_share, lower_share = at_x - left, at_y - top
    left, top = left + 1, top + 1
    upper = padded[:, top, left] * (1 - right_share) + padded[:, top, left + 1] * right_share
    lower = padded[:, top + 1, left] * (1 - right_share) + padded[:, top + 1, left + 1] * right_share
    return (upper * (1 - lower_share) + lower * lower_share).reshape(image.shape)


def turned_about_centre(
    height: int, width: int, clockwise: float, scale: float = 1.0, shift: tuple[float, float] = (0, 0)
) -> Array:
    """Scaled, turned as one sees it on the screen, then shifted right and down, in pixels."""
    cos, sin = scale * np.cos(np.deg2rad(clockwise)), scale * np.sin(np.deg2rad(clockwise))
    x, y = (width - 1) / 2, (height - 1) / 2
    to_centre = np.array([[1, 0, -x], [0, 1, -y], [0, 0, 1]])
    turn = np.array([[cos, -sin, x + shift[0]], [sin, cos, y + shift[1]], [0, 0, 1]])
    return turn @ to_centre


def homography(start: Array, end: Array) -> Array:
    """The projective map that takes four points (4, 2) to four others."""
    rows, values = [], []
    for (x, y), (u, v) in zip(start, end, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return np.append(np.linalg.solve(np.array(rows), np.array(values)), 1.0).reshape(3, 3)


def blurred(image: Array, sigma: float) -> Array:
    """Three pixels along each axis, weighted by a normal density; the border is mirrored."""
    weights = np.exp(-(np.array([-1.0, 0.0, 1.0]) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1)), mode="reflect")
    rows = sum(w * padded[:, k : k + image.shape[1]] for k, w in enumerate(weights))
    return np.asarray(sum(w * rows[:, :, k : k + image.shape[2]] for k, w in enumerate(weights)))


def drawn_of(step: Any) -> list[dict[str, Array] | None]:
    """What a step of the augmentation drew for each image; None where it left the image alone."""
    values = {key: value.numpy().astype(np.float64) for key, value in step._params.items()}
    hits = values.pop("batch_prob").astype(bool)
    del values["forward_input_shape"]
    return [{key: rows[i] for key, rows in values.items()} if hit else None for i, hit in enumerate(hits)]


def judged(step: Any, image: Array, drawn: dict[str, Array]) -> Array:
    _, height, width = image.shape
    kind = type(step).__name__
    if kind == "RandomAffine":
        assert drawn["scale"][0] == drawn["scale"][1]
        assert drawn["shear_x"] == drawn["shear_y"] == 0
        angle, scale = float(drawn["angle"]), float(drawn["scale"][0])
        return warped(image, turned_about_centre(height, width, angle, scale, tuple(drawn["translations"])))
    if kind == "RandomRotation":
        return warped(image, turned_about_centre(height, width, -float(drawn["degrees"])))
    if kind == "RandomPerspective":
        return warped(image, homography(drawn["start_points"], drawn["end_points"]))
    assert kind == "RandomGaussianBlur"
    return blurred(image, float(drawn["sigma"]))


@pytest.mark.parametrize("size", [(20, 16), (9, 28)])
@pytest.mark.parametrize("name", NAMES)
def test_pixels_are_those_of_the_drawn_geometry(name: str, size: tuple[int, int]) -> None:
    images = random_images(24, 2, *size)
    augment = build("augmentations", name)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        result, _ = augment(images, None, sizes_of(images))
    expected = list(images.numpy().astype(np.float64))
    for step in augment.steps:
        expected = [
            image if one is None else judged(step, image, one)
            for image, one in zip(expected, drawn_of(step), strict=True)
        ]
    np.testing.assert_allclose(result.numpy(), np.stack(expected), atol=1e-4, rtol=0)


# The distributions: two ramps that an affine map sends to two ramps tell the map, whatever computed it.

HEIGHT, WIDTH = 24, 32
ROWS, COLUMNS = slice(HEIGHT // 3, HEIGHT - HEIGHT // 3), slice(WIDTH // 3, WIDTH - WIDTH // 3)


def maps(name: str) -> tuple[Array, Array]:
    """The map (3, 3) of each of many images, and how far its middle is from that map's in pixels."""
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    ramps = torch.stack([x / 32, y / 32])
    result = augmented(name, ramps.expand(DRAWS, -1, -1, -1).contiguous(), 1)
    middle = 32 * result[:, :, ROWS, COLUMNS].flatten(2).numpy().astype(np.float64)  # (B, 2, P)
    here = np.stack([t[ROWS, COLUMNS].flatten().numpy() for t in (x, y, torch.ones_like(x))]).astype(float)
    backward, *_ = np.linalg.lstsq(here.T, middle.reshape(-1, middle.shape[-1]).T, rcond=None)
    backward = backward.T.reshape(DRAWS, 2, 3)
    off = np.abs(backward @ here - middle).max(axis=(1, 2))
    last_row = np.broadcast_to([0.0, 0.0, 1.0], (DRAWS, 1, 3))
    return np.linalg.inv(np.concatenate([backward, last_row], axis=1)), off


def parts_of(forward: Array) -> tuple[Array, Array, Array]:
    """Angle in degrees, scale, and shift of the centre as shares of width and height, of each map."""
    scale = np.sqrt(np.linalg.det(forward[:, :2, :2]))
    turn = forward[:, :2, :2] / scale[:, None, None]
    np.testing.assert_allclose(
        turn @ turn.transpose(0, 2, 1), np.broadcast_to(np.eye(2), turn.shape), atol=1e-3
    )
    centre = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2, 1])
    shift = ((forward @ centre)[:, :2] - centre[:2]) / [WIDTH, HEIGHT]
    return np.rad2deg(np.arctan2(turn[:, 1, 0], turn[:, 0, 0])), scale, shift


def assert_uniform(values: Array, low: float, high: float) -> None:
    """All within the bounds, both nearly reached, and none more likely than another."""
    slack = 1e-3 * (high - low)
    assert low - slack <= values.min() <= low + 0.01 * (high - low)
    assert high + slack >= values.max() >= high - 0.01 * (high - low)
    assert stats.kstest(values, "uniform", (low, high - low)).pvalue > 0.001


def assert_drawn_apart(*columns: Array) -> None:
    """No draw tells another's, nor the next image's."""
    table = np.stack(columns)
    among = np.corrcoef(np.concatenate([table[:, 1:], table[:, :-1]]))
    assert np.abs(among - np.eye(len(among))).max() < 0.1


@pytest.mark.parametrize("name", ["affine", "report"])
def test_turn_scale_and_shift_are_uniform_within_their_bounds_and_drawn_for_each_image(name: str) -> None:
    forward, off = maps(name)
    affine = off < 1e-4
    assert affine.all() if name == "affine" else affine.mean() == pytest.approx(0.5, abs=0.04)
    angle, scale, shift = parts_of(forward[affine])
    assert_uniform(angle, -TURNS[name], TURNS[name])
    assert_uniform(scale, 0.9, 1.1)
    for axis in range(2):
        assert_uniform(shift[:, axis], -SHIFTS[name], SHIFTS[name])
    assert_drawn_apart(angle, scale, shift[:, 0], shift[:, 1])


def test_half_of_the_images_are_turned_by_up_to_twenty_degrees_and_the_others_are_unchanged() -> None:
    forward, off = maps("rotate")
    assert off.max() < 1e-4
    angle, scale, shift = parts_of(forward)
    is_turned = np.abs(angle) > 1e-3
    assert is_turned.mean() == pytest.approx(0.5, abs=0.04)
    assert_uniform(angle[is_turned], -TURNS["rotate"], TURNS["rotate"])
    assert_drawn_apart(is_turned.astype(float), angle)
    np.testing.assert_allclose(scale, 1, atol=1e-4)
    np.testing.assert_allclose(shift, 0, atol=1e-4)
    images = random_images(64, 1, 20, 16)
    same = (augmented("rotate", images, 1) == images).flatten(1).all(dim=1)
    assert 16 < int(same.sum()) < 48


def test_half_of_the_report_are_seen_in_perspective_and_all_blurred() -> None:
    augment = build("augmentations", "report")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        blank = torch.zeros(DRAWS, 1, 6, 10)
        augment(blank, None, sizes_of(blank))
    affine, perspective, blur = (drawn_of(step) for step in augment.steps)
    assert None not in affine
    share = np.mean([one is not None for one in perspective])
    assert share == pytest.approx(0.5, abs=0.04)
    inward = np.stack([np.abs(one["end_points"] - one["start_points"]) for one in perspective if one])
    for corner in range(4):
        assert_uniform(inward[:, corner, 0] / 10, 0, 0.05)
        assert_uniform(inward[:, corner, 1] / 6, 0, 0.05)
    ends = np.stack([one["end_points"] for one in perspective if one])
    assert ends.min() >= 0
    assert (ends.max(axis=(0, 1)) <= [9, 5]).all()
    assert_drawn_apart(*inward.reshape(len(inward), 8).T)
    assert_uniform(np.array([float(one["sigma"]) for one in blur if one]), 0.1, 1.0)
    assert None not in blur


# Padded batches: what an image becomes does not depend on the canvas that it is padded to.


def padded_to(images: torch.Tensor, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    margin = (0, width - images.shape[3], 0, height - images.shape[2])
    mask = torch.ones_like(images[:, :1], dtype=torch.bool)
    return torch.nn.functional.pad(images, margin), torch.nn.functional.pad(mask, margin)


@pytest.mark.parametrize("name", NAMES)
def test_the_canvas_makes_no_difference_to_what_becomes_of_an_image(name: str) -> None:
    images = random_images(24, 2, 20, 16).double()
    found = []
    for height, width in ((20, 17), (50, 70), (64, 64)):
        canvas, mask = padded_to(images, height, width)
        augment = build("augmentations", name)
        with torch.random.fork_rng():
            torch.manual_seed(4)
            result, there = augment(canvas, mask, sizes_of(images))
        assert there is not None
        assert torch.equal(there, mask)
        assert not result.masked_select(~mask).any()
        found.append(result[:, :, :20, :16])
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=0)
    torch.testing.assert_close(found[1], found[2], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["affine", "rotate"])
def test_a_padded_image_becomes_what_it_becomes_without_padding(name: str) -> None:
    images = random_images(24, 2, 20, 16)
    canvas, mask = padded_to(images, 33, 30)
    augment = build("augmentations", name)
    with torch.random.fork_rng():
        torch.manual_seed(4)
        plain, _ = augment(images, None, sizes_of(images))
        torch.manual_seed(4)
        result, _ = augment(canvas, mask, sizes_of(images))
    torch.testing.assert_close(result[:, :, :20, :16], plain, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_padding_costs_an_image_no_more_than_augmentation_does_anyway(name: str) -> None:
    """About the canvas's centre `affine` left 87 % of a 32×32 image in 64×64, and `report` 73 %."""
    images = torch.ones(400, 1, 32, 32)
    canvas, mask = padded_to(images, 64, 64)
    augment = build("augmentations", name)
    torch.manual_seed(0)
    left = augment(canvas, mask, sizes_of(images))[0].flatten(1).sum(1) / 32**2
    alone = augment(images, None, sizes_of(images))[0].flatten(1).sum(1) / 32**2
    assert float(left.median()) == pytest.approx(float(alone.median()), abs=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_strange_shapes_stay_finite(name: str) -> None:
    sizes = torch.tensor([[1, 1], [1, 9], [2, 2], [9, 1], [9, 9]])
    mask = torch.zeros(5, 1, 9, 9, dtype=torch.bool)
    for place, (height, width) in enumerate(sizes.tolist()):
        mask[place, :, :height, :width] = True
    augment = build("augmentations", name)
    for seed in range(20):
        torch.manual_seed(seed)
        assert augment(torch.rand(5, 3, 9, 9) * mask, mask, sizes)[0].isfinite().all()
