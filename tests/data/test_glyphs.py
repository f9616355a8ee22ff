"""What holds for the rendered digits: repeatable, varied, inside the canvas, told apart."""

from __future__ import annotations

import itertools
import sys
import zlib

import numpy as np
import pytest

from nnkit.data.glyphs import WRITTEN, glyphs_of, parse_glyph
from nnkit.data.render import MAX_EXTENT, MAX_POINTS, MIN_SIZE, render_digits


def labels_of(num_images: int) -> np.ndarray:
    return np.arange(num_images) % 10


def render(num_images: int, size: int = 28, seed: int = 0) -> np.ndarray:
    return render_digits(labels_of(num_images), size, rng=np.random.default_rng(seed))


def centred(images: np.ndarray) -> np.ndarray:
    """Each image rolled so that its ink's middle lies in the canvas's, as unit vectors (N, pixels)."""
    middle = images.shape[1] // 2
    moved = np.empty(images.shape, np.float32)
    for i, image in enumerate(images):
        rows, columns = np.nonzero(image)
        shift = middle - round(rows.mean()), middle - round(columns.mean())
        moved[i] = np.roll(image, shift, axis=(0, 1))
    flat = moved.reshape(len(images), -1)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)


@pytest.mark.parametrize("size", [MIN_SIZE, 28, 32, 48, 64])
def test_images_are_bytes_of_the_asked_size_from_black_to_nearly_white(size: int) -> None:
    images = render(40, size)
    assert images.shape == (40, size, size)
    assert images.dtype == np.uint8
    assert images.min() == 0
    assert images.max() > 230


def test_no_label_gives_no_image() -> None:
    assert render(0).shape == (0, 28, 28)


def test_equal_seeds_give_equal_images_and_others_do_not() -> None:
    assert np.array_equal(render(50, seed=3), render(50, seed=3))
    assert not np.array_equal(render(50, seed=3), render(50, seed=4))


def test_an_image_does_not_depend_on_those_after_it() -> None:
    assert np.array_equal(render(60)[:17], render(17))


def test_images_are_the_same_on_every_machine() -> None:
    assert zlib.crc32(render(500).tobytes()) == 0xB11C3974


@pytest.mark.parametrize("size", [MIN_SIZE, 28, 64])
def test_ink_never_reaches_the_rim_of_the_canvas(size: int) -> None:
    images = render(1000, size)
    for rim in (images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]):
        assert not rim.any()


def test_a_digit_is_as_large_on_a_large_canvas_as_on_a_small_one() -> None:
    for image in render(300, 64):
        rows, columns = np.nonzero(image)
        assert 16 <= np.ptp(rows) + 1 <= MAX_EXTENT
        assert np.ptp(columns) + 1 <= MAX_EXTENT


def test_digits_lie_from_edge_to_edge_of_a_large_canvas() -> None:
    images = render(500, 64)
    for axis in (1, 2):
        lies_on = images.any(axis=axis)
        first = lies_on.argmax(axis=1)
        assert first.min() <= 3
        assert first.max() >= 40
        assert lies_on.any(axis=0)[2:-2].all()


def test_edges_are_smooth() -> None:
    images = render(100)
    ink = images[images > 0]
    assert ((ink > 20) & (ink < 180)).mean() > 0.2


@pytest.mark.parametrize("digit", range(10))
def test_a_digit_is_written_in_several_ways_and_never_twice_alike(digit: int) -> None:
    assert len(set(WRITTEN[digit])) >= 4
    images = render_digits(np.full(200, digit), 28, rng=np.random.default_rng(0))
    vectors = centred(images)
    likeness = vectors @ vectors.T - 2 * np.eye(len(vectors))
    assert likeness.max() < 0.99
    assert np.median(likeness) < 0.75


def test_digits_are_told_apart_by_their_nearest_neighbour_yet_not_all() -> None:
    vectors, labels = centred(render(3000)), labels_of(3000)
    nearest = (vectors[2500:] @ vectors[:2500].T).argmax(axis=1)
    assert 0.8 < (labels[nearest] == labels[2500:]).mean() < 1.0


def test_places_of_the_pen_are_weighted_means_of_few_enough_points() -> None:
    for glyph in (glyph for digit in range(10) for glyph in glyphs_of(digit)):
        assert len(glyph.points) <= MAX_POINTS
        assert np.allclose(glyph.straight.sum(axis=1), 1)
        assert np.allclose(glyph.smooth.sum(axis=1), 1)


def test_strokes_share_a_point_that_both_name() -> None:
    glyph = parse_glyph("0,0 4,0|4,0 4,9")
    assert glyph.points.tolist() == [[-3, -5], [1, -5], [1, 4]]


def test_a_closed_stroke_has_no_corner_where_it_closes() -> None:
    glyph = parse_glyph("0,0 4,0 4,4 0,4 0,0")
    pen = glyph.smooth @ glyph.points
    start, end = pen[1] - pen[0], pen[-1] - pen[-2]
    assert start @ end > 0.9 * np.linalg.norm(start) * np.linalg.norm(end)


@pytest.mark.parametrize("labels", [[0, 10], [-1], [0.5], [[1, 2]]])
def test_labels_that_are_no_list_of_digits_are_refused(labels: list[object]) -> None:
    with pytest.raises(ValueError, match="from 0 to 9"):
        render_digits(np.array(labels), 28, rng=np.random.default_rng(0))


def test_a_canvas_too_small_for_a_digit_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 16"):
        render(1, MIN_SIZE - 1)


def test_images_are_drawn_many_at_a_time() -> None:
    calls = itertools.count()
    old = sys.getprofile()
    sys.setprofile(lambda frame, event, argument: next(calls) if event in ("call", "c_call") else None)
    try:
        render(3000)
    finally:
        sys.setprofile(old)
    # NumPy draws a chunk of images in one call; one image at a time takes about eighty calls for each.
    assert next(calls) < 20 * 3000
