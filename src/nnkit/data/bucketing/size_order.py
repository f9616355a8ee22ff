"""An order of a bucket's images in which each batch holds near sizes, so that little is padded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnkit.data.bucketing.clustering import Ints
from nnkit.data.bucketing.steps import count_up


def near_order(size_of: NDArray[Any], sizes: Ints, batch_size: int, rng: np.random.Generator | None) -> Ints:
    """Places (n,) of one bucket's images, such that each `batch_size` of them in turn have near sizes.

    `size_of` (n,) are the images' rows in `sizes` (D, 2). The images are parted at a whole number of batches,
    by height or by width, whichever then pads less, until a part is one batch or one size. With `rng` the
    parts are of random proportions, so that an image meets others in the next epoch. But for one sort, the
    cost grows with the distinct sizes and the batches, not with the images.
    """
    if len(size_of) <= batch_size:
        return np.arange(len(size_of))
    by_size = np.argsort(size_of, kind="stable")
    distinct, counts = np.unique(size_of, return_counts=True)
    parts = list(_parts(sizes[distinct], np.arange(len(distinct)), counts, batch_size, rng))
    size, count = (np.concatenate(column) for column in zip(*parts, strict=True))
    # A size that was cut stands in several parts: each takes the next of its images.
    in_turn = np.argsort(size, kind="stable")
    start = np.empty_like(count)
    start[in_turn] = np.cumsum(count[in_turn]) - count[in_turn]
    return by_size[np.repeat(start, count) + count_up(count)]


def _parts(
    sides: Ints, members: Ints, counts: Ints, batch_size: int, rng: np.random.Generator | None
) -> Iterator[tuple[Ints, Ints]]:
    """Members (rows of `sides`) and how many images of each, part after part."""
    num_batches = -(-int(counts.sum()) // batch_size)
    if num_batches <= 1 or len(members) == 1:
        yield members, counts
        return
    num_left = num_batches // 2
    if rng is not None:
        quarter = max(1, num_batches // 4)
        num_left = int(rng.integers(quarter, num_batches - quarter, endpoint=True))
    cuts = [_cut(sides, members, counts, num_left * batch_size, by) for by in (0, 1)]
    for part_members, part_counts in min(cuts, key=lambda cut: _pixels(sides, cut)):
        yield from _parts(sides, part_members, part_counts, batch_size, rng)


def _cut(sides: Ints, members: Ints, counts: Ints, num_left: int, by: int) -> list[tuple[Ints, Ints]]:
    """The `num_left` images with the smallest height (0) or width (1), and the others."""
    ascending = np.lexsort((sides[members, 1 - by], sides[members, by]))
    members, counts = members[ascending], counts[ascending]
    up_to = np.cumsum(counts)
    last = int(np.searchsorted(up_to, num_left))
    beyond = int(up_to[last]) - num_left
    left, right = counts[: last + 1].copy(), counts[last:].copy()
    left[-1] -= beyond
    right[0] = beyond
    kept = slice(0 if beyond else 1, None)
    return [(members[: last + 1], left), (members[last:][kept], right[kept])]


def _pixels(sides: Ints, parts: list[tuple[Ints, Ints]]) -> int:
    return sum(int(sides[members].max(axis=0).prod() * counts.sum()) for members, counts in parts)
