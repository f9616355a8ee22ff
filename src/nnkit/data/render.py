"""Draws handwritten-looking digits from random numbers: white on black, no file, no font.

A round pen is stamped along the strokes of a glyph. Every image draws the same number of random values,
so image i depends on the generator's start, on i, on its label and on the canvas, on no other image.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nnkit.data.glyphs import BOX_HEIGHT, Array, Glyph, glyphs_of

NUM_CLASSES = 10
MIN_SIZE = 16
MAX_EXTENT = 26
"""No digit is higher or wider than this many pixels, however large the canvas."""

CHUNK = 128
"""Images drawn at once: their stamps' windows stay within the processor's cache."""

STYLE = {
    "way": (0.0, 1.0),
    "height": (16.0, 21.5),  # pixels from the first to the last centre line, before the wobble
    "aspect": (0.75, 1.2),
    "slant": (-0.2, 0.5),  # pixels to the right per pixel upwards
    "turn": (-0.14, 0.14),  # tangent of half the angle: ± 16 degrees
    "bend": (-0.02, 0.02),
    "radius": (0.65, 1.6),  # of the pen, pixels
    "pressure": (-0.25, 0.25),  # the pen's radius grows along the way by this part
    "softness": (1.0, 1.6),  # pixels from full ink to none
    "brightness": (0.8, 1.0),
    "smoothness": (0.75, 1.0),
    "right": (0.0, 1.0),
    "down": (0.0, 1.0),
}
"""What varies from image to image, each evenly between two bounds."""

GRID = 256
"""Stamps lie on a grid of so many lines per pixel: the last bits of a machine's arithmetic leave no trace."""

WOBBLE = 0.7
"""Control points move by up to this much of a glyph's units, of which ten make its height."""

MAX_POINTS = 16
"""Random numbers are drawn for this many control points of a glyph, used or not."""

_BEFORE, _WINDOW = 2, 6
"""A stamp's window of pixels: holds every pixel within 3 of its centre, farther than any stamp reaches."""


def render_digits(labels: NDArray[np.integer], size: int, *, rng: np.random.Generator) -> NDArray[np.uint8]:
    """One drawn digit per label: uint8 (N, size, size), 0 black to 255 white, the outermost pixels black.

    `labels` is (N,) in 0 … 9; `size` is the side of the square canvas in pixels, at least 16. The digit is
    16 to 26 pixels high at a random place, on a large canvas too; on one under 28 pixels it is made smaller
    where it does not fit. Equal generators give equal images, on any machine. `ValueError` for other labels
    or sizes. 14,000 images take under a second on one core.
    """
    labels = np.asarray(labels)
    if size < MIN_SIZE:
        raise ValueError(f"size is {size}: a digit needs a canvas of at least {MIN_SIZE} pixels")
    if labels.ndim != 1 or not np.isin(labels, np.arange(NUM_CLASSES)).all():
        raise ValueError("labels must be one list of whole numbers from 0 to 9")
    draws = rng.random((len(labels), len(STYLE) + 2 * MAX_POINTS))
    images = np.zeros((len(labels), size, size), np.uint8)
    for digit in range(NUM_CLASSES):
        glyphs = glyphs_of(digit)
        ways = (draws[:, 0] * len(glyphs)).astype(np.int64)
        for way, glyph in enumerate(glyphs):
            rows = np.flatnonzero((labels == digit) & (ways == way))
            for start in range(0, len(rows), CHUNK):
                chunk = rows[start : start + CHUNK]
                images[chunk] = _draw(glyph, draws[chunk], size)
    return images


def _draw(glyph: Glyph, draws: Array, size: int) -> NDArray[np.uint8]:
    """Images of one glyph, uint8 (n, size, size), styled by `draws` (n, numbers per image)."""
    style = {
        name: (low + (high - low) * draws[:, i])[:, None]
        for i, (name, (low, high)) in enumerate(STYLE.items())
    }
    radius = style["radius"] * (1 + style["pressure"] * (2 * glyph.along - 1))
    reach = radius.max(axis=1, keepdims=True) + style["softness"] / 2 + 2 / GRID
    x, y = _pen(glyph, draws[:, len(STYLE) :], style)
    x, y = _fit(x, y, min(size - 1, MAX_EXTENT) - 2 * reach)
    x = _place(x, style["right"], size, reach)
    y = _place(y, style["down"], size, reach)
    return _stamp(x, y, radius, style["softness"], style["brightness"], size)


def _pen(glyph: Glyph, draws: Array, style: dict[str, Array]) -> tuple[Array, Array]:
    """Places of the pen in pixels, x and y (n, M), around the middle of the digit."""
    num_points = len(glyph.points)
    wobble = WOBBLE * (2 * draws[:, : 2 * num_points] - 1)
    points = glyph.points + wobble.reshape(-1, num_points, 2)
    smooth = style["smoothness"][:, :, None]
    pen = (1 - smooth) * (glyph.straight @ points) + smooth * (glyph.smooth @ points)
    pen *= style["height"][:, :, None] / BOX_HEIGHT
    y = pen[:, :, 1]
    x = pen[:, :, 0] * style["aspect"] - style["slant"] * y + style["bend"] * y**2
    # A turn without sine and cosine, which differ between machines in their last bits.
    half = style["turn"]
    cos, sin = (1 - half**2) / (1 + half**2), 2 * half / (1 + half**2)
    return cos * x - sin * y, sin * x + cos * y


def _fit(x: Array, y: Array, room: Array) -> tuple[Array, Array]:
    """The pen's places, moved together where they span more than `room` (n, 1) pixels; never apart."""
    span = np.maximum(np.ptp(x, axis=1, keepdims=True), np.ptp(y, axis=1, keepdims=True))
    scale = np.minimum(1.0, room / np.maximum(span, 1e-9))
    return x * scale, y * scale


def _place(places: Array, where: Array, size: int, reach: Array) -> Array:
    """The pen's places on the canvas: `where` (n, 1) from 0 to 1 picks among the positions that fit."""
    low = reach - places.min(axis=1, keepdims=True)
    high = size - 1 - reach - places.max(axis=1, keepdims=True)
    moved: Array = places + low + where * (high - low)
    return moved


def _stamp(
    x: Array, y: Array, radius: Array, softness: Array, brightness: Array, size: int
) -> NDArray[np.uint8]:
    """The images, uint8 (n, size, size): each pixel takes the strongest of the stamps that reach it."""
    side = size + _WINDOW
    canvas = np.zeros((len(x), side, side), np.float32)
    x, y, radius = (np.round(values * GRID) / GRID for values in (x, y, radius))
    column, row = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    window = np.arange(_WINDOW)
    dx = (window - _BEFORE - (x - column)[:, :, None]).astype(np.float32)
    dy = (window - _BEFORE - (y - row)[:, :, None]).astype(np.float32)
    distance = np.sqrt((dx**2)[:, :, None, :] + (dy**2)[:, :, :, None])
    per_stamp = (slice(None), slice(None), None, None)
    ink = (radius.astype(np.float32)[per_stamp] - distance) / softness.astype(np.float32)[per_stamp]
    ink += np.float32(0.5)
    corner = (np.arange(len(x))[:, None] * side + row) * side + column
    pixels = corner[per_stamp] + (window[:, None] * side + window)
    np.maximum.at(canvas.reshape(-1), pixels.reshape(-1), ink.reshape(-1))
    canvas = canvas[:, _BEFORE : _BEFORE + size, _BEFORE : _BEFORE + size]
    grey = np.minimum(canvas, 1) * brightness.astype(np.float32)[:, :, None] * np.float32(255)
    return np.round(grey).astype(np.uint8)
