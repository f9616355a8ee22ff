"""Smooth random three-channel images, in place of photographs where there is no file."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CELLS = ((16, 4), (8, 2), (4, 1))
"""Side of a cell in pixels and weight, for each layer: rough shapes count most, as in photographs."""

LEVELS = 256
CONTRAST = (1.0, 3.0)


def smooth_images(count: int, side: int, *, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Random images, uint8 (count, 3, side, side); `side` a multiple of 16.

    Layers of random grids, bilinearly enlarged, half of each shared by the three channels. Equal generators
    give equal images on any machine: all sums are of whole numbers that float32 holds exactly. 12,000 of
    32×32 take under two seconds on one core.
    """
    if side % CELLS[0][0]:
        raise ValueError(f"side is {side}, it must be a multiple of {CELLS[0][0]}")
    total = np.zeros((count, 3, side, side), np.float32)
    whole = 0
    for cell, weight in CELLS:
        points = side // cell + 1
        shared = rng.integers(0, LEVELS, (count, 1, points, points))
        own = rng.integers(0, LEVELS, (count, 3, points, points))
        enlarge = _enlarge(points, cell)
        total += weight * (16 // cell) ** 2 * (enlarge @ (shared + own).astype(np.float32) @ enlarge.T)
        whole += weight * 2 * 16 * 16
    middle = np.float32((LEVELS - 1) / 2)
    gain = rng.uniform(*CONTRAST, (count, 1, 1, 1)).astype(np.float32)
    levels = middle + gain * (total / np.float32(whole) - middle)
    return np.clip(np.round(levels), 0, LEVELS - 1).astype(np.uint8)


def _enlarge(points: int, cell: int) -> NDArray[np.float32]:
    """The matrix (pixels, points) of whole weights that sum to `cell`: linear between the points."""
    matrix = np.zeros(((points - 1) * cell, points), np.float32)
    for pixel in range(len(matrix)):
        point, offset = divmod(pixel, cell)
        matrix[pixel, point] = cell - offset
        matrix[pixel, point + 1] = offset
    return matrix
