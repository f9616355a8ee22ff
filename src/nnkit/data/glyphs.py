"""The ways in which people write the ten digits, as strokes of a pen.

A way of writing is a line of text: strokes separated by "|", control points "x,y" by spaces, x to the right
and y downwards, in a box about 6 wide and 10 high. The pen runs smoothly through the points of a stroke and
turns sharply where one stroke ends and the next begins; a stroke that ends where it began is a closed curve.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BOX_HEIGHT = 10.0
STAMPS_PER_UNIT = 3.6
"""At most 2.2 pixels per unit, so that stamps lie about 0.6 pixels apart: closer changes no grey by 4 %."""

WRITTEN: tuple[tuple[str, ...], ...] = (
    (
        "3,0 1,1.5 0,5 1,8.5 3,10 5,8.5 6,5 5,1.5 3,0",
        "3,0 1.6,1.5 0.9,5 1.6,8.5 3,10 4.4,8.5 5.1,5 4.4,1.5 3,0",
        "4.2,0.8 2.4,0.1 0.7,2 0.1,5 0.8,8.4 2.8,10 4.8,8.8 5.9,5 5,1.8 3.2,0.3",
        "4.4,1.4 2,0.3 0.4,3 0.3,7 2.2,9.9 4.6,9 5.8,5.5 5,2 3.2,0 2.4,1.6",
        "3,0.4 0.4,2 -0.7,5 0.4,8 3,9.6 5.6,8 6.7,5 5.6,2 3,0.4",
    ),
    (
        "3,0 3,10",
        "2.6,0 3.1,3.3 3.1,6.7 2.8,10",
        "1.4,2.2 3,0|3,0 3,10",
        "0.8,3.4 3.2,0|3.2,0 3.2,10",
        "1.4,2.2 3,0|3,0 3,10|1,10 5,10",
        "3,0 3,10|1.2,10 4.8,10",
    ),
    (
        "0.4,2.4 1.2,0.6 3,0 5,0.8 5.4,2.8 4,5.4 0.2,10|0.2,10 6,10",
        "0.5,2.2 1.6,0.4 3.6,0 5.3,1.6 4.8,4.4 2.6,8 0.8,9.8 0,9 1,7.9 3,8.8 4.6,9.9 6.2,9.3",
        "0.4,2.6 1.4,0.5 3.6,0.1 5.2,1.9 4.4,4.6 2,7.6 0.3,9.7|0.3,9.7 2,9 4,9.8 6.2,9.2",
        "0.6,1 3.2,0 5.4,1.2 5,3.4 0.4,9.6|0.4,9.6 5.8,9.9",
        "0.8,1.8 2.4,0 4.8,0.6 4.8,3.6 2.8,7 1.2,9.6 1.8,9.9 4,9.7 6,9.8",
    ),
    (
        "0.6,1.4 2.6,0 4.8,0.8 5,3 3.8,4.5 2.2,4.8|2.2,4.8 4.4,5.2 5.7,7 4.8,9.3 2.6,10 0.4,8.8",
        "0.6,0.2 5.2,0.2|5.2,0.2 2.4,4.2|2.4,4.2 4.8,4.8 5.8,7 4.8,9.3 2.4,10 0.4,8.8",
        "0.6,1.4 2.6,0 4.8,1 4.6,3.4 2.8,4.9 1.7,4.6 2.4,4 4.4,4.9 5.6,7 4.6,9.2 2.4,10 0.2,9",
        "0.2,0.6 3,0 5,1.2 4.4,3.6 3.2,4.6|3.2,4.6 5,5.8 5.2,8 3.6,9.6 0.6,9.9",
    ),
    (
        "1.2,0 0.4,5.8|0.4,5.8 6,5.8|4.8,1.4 4.6,10",
        "4.4,0 0,6.6|0,6.6 6,6.6|4.4,0 4.4,10",
        "0.8,0.2 0.6,3.4 1.6,5.4 3.6,5.4 5,4|5.2,0 4.8,5 4.4,10",
        "3.4,0 0.2,6|0.2,6 6,6|4.2,3.2 3.8,10",
        "1,0.6 0.2,4.8 1,5.8 3.2,5.6 6.2,4.8|4.9,0.6 4.4,5 3.4,10",
    ),
    (
        "5.4,0.1 1,0.1|1,0.1 0.7,4.4|0.7,4.4 3,3.7 5.3,5 5.6,7.4 4.4,9.5 2.2,10 0.3,9",
        "5.2,0.5 2.8,0.1 1.1,1.4 1.2,3.6 3.6,4.8 5.2,6.8 4.6,9.1 2.4,10 0.2,9.4",
        "1.2,0.6 0.8,4.6|0.8,4.6 2.6,4 5,5 5.4,7.4 4.2,9.5 2,10 0.2,9.4|1.2,0.6 6.4,0",
        "5.8,0 1.8,0.6|1.8,0.6 1.2,4.2|1.2,4.2 3.6,5 4.6,7 3.4,9.2 0,10",
    ),
    (
        "4.6,0 2,2.4 0.5,6 0.9,8.8 2.8,10 5,9 5.4,7 4,5.4 2,5.8 0.7,7.6",
        "3.6,0 1.4,3.6 0.2,7 1.4,9.6 3.6,9.8 5,8 4.2,6 2.2,5.8 0.6,7.4",
        "5.4,1 4,0 1.8,1.6 0.5,5 0.6,8 2.4,10 4.6,9.4 5.6,7.4 4.2,5.3 2,5.6 0.8,7.2",
        "2.8,0 1.4,3 0.6,6.4 1.2,9.2 3.4,10 4.9,8.7 4,7 2.4,7.4 1.1,8.8",
    ),
    (
        "0.2,0.2 5.6,0.2|5.6,0.2 2.2,10",
        "0.2,0.2 5.6,0.2|5.6,0.2 2.2,10|1.8,5 5.6,5",
        "0.2,1 1.6,0.2 5.4,0.2|5.4,0.2 3.6,3.6 2.6,7 2.4,10",
        "0.4,1.9 0.4,0.2|0.4,0.2 5.6,0.2|5.6,0.2 2.4,10",
        "0,0.9 2.4,0.2 4.8,0.2 5.2,1.4 3.6,5 2.4,10",
        "0,0.9 2.4,0.2 4.8,0.2 5.2,1.4 3.6,5 2.4,10|1.6,5.4 5.6,4.6",
    ),
    (
        "5,1.4 3.2,0 1.2,1.2 1.4,3.2 3,4.8 5,6.8 4.8,9.2 2.8,10 0.8,9 0.8,7 3,4.8 4.6,3 5,1.4",
        "3,0 1.2,0.9 1.2,3.6 3,4.6 4.8,3.6 4.8,0.9 3,0|3,4.6 0.8,5.8 0.6,8.8 3,10 5.4,8.8 5.2,5.8 3,4.6",
        "5.4,1 3.2,0 1.2,1.4 1.8,3.6 4,5.4 5.2,7.6 4,9.8 1.8,9.8 0.8,8 2,5.8 4.2,4 5.6,1.6",
        "4.5,1.2 3,0 1.5,1.2 1.7,3.2 3,4.8 4.5,6.8 4.5,9 3,10 1.5,9 1.5,6.8 3,4.8 4.3,3.2 4.5,1.2",
    ),
    (
        "5.1,2.2 3.4,0.1 1.2,0.8 0.6,3.2 2,5 4.2,4.4 5.1,2.2|5.2,0.4 5,10",
        "5.4,2.6 4,0.2 1.6,0.4 0.5,2.8 1.6,5 4,4.8 5.4,2.6|5.4,2.6 5.4,6 4.4,9 2.4,10 0.8,9.2",
        "4.8,1.2 3,0 0.8,1.6 0.8,4 2.4,5.2 4.4,3.8 5.2,1|5.2,1 4.4,5.6 3,10",
        "4.6,1.6 3.2,0 1.5,1 1.5,2.9 3,3.8 4.6,1.6|4.6,1.6 4.2,10",
    ),
)
"""For each digit, the ways in which it is written."""


@dataclass(frozen=True)
class Glyph:
    """One way to write a digit: K control points, and M places of the pen as weighted means of them.

    `points` is (K, 2), x and y around the middle of the box. `straight` and `smooth` are (M, K), rows summing
    to 1: the pen on lines from point to point, and on a Catmull-Rom curve through them. `along` is (M,), how
    far the pen has come: 0 at the start, 1 at the end.
    """

    points: Array
    straight: Array
    smooth: Array
    along: Array


@cache
def glyphs_of(digit: int) -> tuple[Glyph, ...]:
    """All ways to write `digit`, which is in 0 … 9."""
    return tuple(parse_glyph(text) for text in WRITTEN[digit])


def parse_glyph(text: str) -> Glyph:
    """The glyph that a line of text describes. A point that stands in it twice is one point."""
    strokes = [stroke.split() for stroke in text.split("|")]
    names = list(dict.fromkeys(name for stroke in strokes for name in stroke))
    points = np.array([[float(number) for number in name.split(",")] for name in names])
    weights = [_stroke_weights([names.index(name) for name in stroke], points) for stroke in strokes]
    straight = np.concatenate([weight[0] for weight in weights])
    smooth = np.concatenate([weight[1] for weight in weights])
    return Glyph(points - (3.0, BOX_HEIGHT / 2), straight, smooth, np.linspace(0.0, 1.0, len(straight)))


def _stroke_weights(stroke: list[int], points: Array) -> tuple[Array, Array]:
    """Weights of all control points for each place of the pen on one stroke: straight and smooth."""
    closed = stroke[0] == stroke[-1]
    before = stroke[-2] if closed else stroke[0]
    after = stroke[1] if closed else stroke[-1]
    path = [before, *stroke, after]
    one = np.eye(len(points))
    straight, smooth = [], []
    for p, a, b, q in zip(path, path[1:], path[2:], path[3:], strict=False):
        length = np.hypot(*(points[b] - points[a]))
        # The margin keeps the count the same where machines disagree on the last bit of a length.
        num_stamps = max(2, int(np.ceil(STAMPS_PER_UNIT * length - 1e-6)))
        t = (np.arange(num_stamps + 1) / num_stamps)[:, None]
        straight.append(one[a] * (1 - t) + one[b] * t)
        tangents = (t - 2 * t**2 + t**3) * (one[b] - one[p]) + (t**3 - t**2) * (one[q] - one[a])
        smooth.append(one[a] * (1 - 3 * t**2 + 2 * t**3) + one[b] * (3 * t**2 - 2 * t**3) + tangents / 2)
    return np.concatenate(straight), np.concatenate(smooth)
