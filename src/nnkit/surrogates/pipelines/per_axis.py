"""The factors of a separable operator, found with a few images per row and column: no matrix of the whole.

An operator K = channels ⊗ rows ⊗ cols on images (C, H, W) is determined by three of its lines: the responses
to the one-pixel images along one column, along one row and across the channels, through one pixel that
matters. That is H + W + C images in place of C · H · W.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Evaluate = Callable[[Tensor], Tensor]
"""uint8 (B, C, H, W) to float64 (B, C', H', W'): the pipeline less what becomes of a black image."""

CHUNK_VALUES = 1 << 23
"""Values of the images that are evaluated at once: 64 MiB as float64."""


@dataclass(frozen=True)
class Entry:
    """A place in K: output channel, row and column; input channel, row and column."""

    o: int
    p: int
    q: int
    c: int
    h: int
    w: int


@dataclass(frozen=True)
class Lines:
    """K through one entry, float64: the outputs along its row and its column, for pixels along them.

    `channels` (C', C); for the pixel in each input row (of the entry's channel and column) the outputs down
    the entry's column, `rows_h` (H', H), and along its row, `cols_h` (W', H); for the pixel in each input
    column the same, `rows_w` (H', W) and `cols_w` (W', W).
    """

    channels: Tensor
    rows_h: Tensor
    cols_h: Tensor
    rows_w: Tensor
    cols_w: Tensor


def strong_entry(evaluate: Evaluate, shape: tuple[int, int, int]) -> Entry | None:
    """An entry of K that is not small, by halving the lit part of an image; None where K is 0."""
    channels, height, width = shape

    def response(c: int, rows: slice, cols: slice) -> Tensor:
        image = torch.zeros(1, *shape, dtype=torch.uint8)
        image[0, c, rows, cols] = 255
        return evaluate(image)[0].abs()

    everything = slice(None)
    whole = torch.stack([response(c, everything, everything) for c in range(channels)])
    if not whole.any():
        return None
    c, o, p, q = (int(at) for at in torch.unravel_index(whole.argmax(), whole.shape))
    h = _halve(height, lambda rows: float(response(c, rows, everything)[o, p, q]))
    w = _halve(width, lambda cols: float(response(c, slice(h, h + 1), cols)[o, p, q]))
    return Entry(o, p, q, c, h, w)


def _halve(length: int, strength: Callable[[slice], float]) -> int:
    low, high = 0, length
    while high - low > 1:
        middle = (low + high) // 2
        if strength(slice(low, middle)) >= strength(slice(middle, high)):
            high = middle
        else:
            low = middle
    return low


def lines_through(evaluate: Evaluate, shape: tuple[int, int, int], at: Entry) -> Lines:
    """K along rows, columns and channels through one entry."""
    channels, height, width = shape

    def responses(pixels: list[tuple[int, int, int]]) -> tuple[Tensor, Tensor, Tensor]:
        """Of each one-pixel image: (n, C') at (p, q), (n, H') at (o, q), (n, W') at (o, p)."""
        step = max(1, CHUNK_VALUES // (channels * height * width))
        found = []
        for start in range(0, len(pixels), step):
            some = pixels[start : start + step]
            images = torch.zeros(len(some), *shape, dtype=torch.uint8)
            for number, (c, h, w) in enumerate(some):
                images[number, c, h, w] = 255
            out = evaluate(images)
            found.append((out[:, :, at.p, at.q], out[:, at.o, :, at.q], out[:, at.o, at.p, :]))
        across, down, along = zip(*found, strict=True)
        return torch.cat(across), torch.cat(down), torch.cat(along)

    of_channels, _, _ = responses([(c, at.h, at.w) for c in range(channels)])
    _, rows_h, cols_h = responses([(at.c, h, at.w) for h in range(height)])
    _, rows_w, cols_w = responses([(at.c, at.h, w) for w in range(width)])
    return Lines(of_channels.T, rows_h.T, cols_h.T, rows_w.T, cols_w.T)
