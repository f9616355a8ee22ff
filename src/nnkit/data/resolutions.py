"""Original sizes as metrics are reported by: each by itself, or many of them in a few ranges of areas."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from nnkit.data.bucketing.sizes import assign_buckets
from nnkit.data.images import Indices
from nnkit.types import Data, SizeRange, SizeRanges, resolution_name

MAX_RANGES = 12
"""Original sizes that are reported one by one; of more, so many ranges at most are."""

_HEIGHT_BITS = 21


def ranges_of(data: Data) -> SizeRanges:
    """The ranges of all the images' original sizes, whatever their split: those of one dataset are the same.

    They are the ones that the data carries, where it does: those of the whole dataset, of which it is a part.
    """
    if data.resolutions is not None:
        return data.resolutions
    found = [split.original_sizes for split in data.splits.values()]
    return size_ranges(np.concatenate(found)) if found else ()


def size_ranges(sizes: ArrayLike) -> SizeRanges:
    """Ranges that hold each of the sizes (N, 2), height × width, in order of their areas.

    Up to `MAX_RANGES` distinct sizes are a range each. More are put together by area, sizes of one area in
    one range, such that the ranges hold about the same number of images.
    """
    found = assign_buckets(sizes)  # each size is a bucket, and they stand by area
    distinct, counts = found.shapes, found.num_of_bucket
    if len(distinct) <= MAX_RANGES:
        ends = list(range(len(distinct)))
    else:
        areas = distinct.prod(axis=1)
        last_of_area = np.flatnonzero(np.append(areas[1:] != areas[:-1], True))
        sums = np.diff(np.cumsum(counts)[last_of_area], prepend=0)
        ends = [int(last_of_area[end]) for end in _shares(sums.tolist(), MAX_RANGES)]
    starts = [0, *(end + 1 for end in ends[:-1])]
    return tuple(
        ((int(low[0]), int(low[1])), (int(high[0]), int(high[1])))
        for low, high in zip(distinct[starts[: len(ends)]], distinct[ends], strict=True)
    )


def _shares(counts: Sequence[int], most: int) -> list[int]:
    """The last place of each of at most `most` groups of neighbours, whose sums of `counts` are near.

    A group ends where one more would take it further from an equal share of what is left than it is now.
    """
    ends: list[int] = []
    left, held = sum(counts), 0
    for at, count in enumerate(counts):
        groups = most - len(ends)
        if held and groups > 1 and groups * (2 * held + count) > 2 * left:
            ends.append(at - 1)
            left, held = left - held, 0
        held += count
    return [*ends, len(counts) - 1]


def range_of(sizes: Indices, ranges: SizeRanges) -> Indices:
    """The range of each size (N, 2): its place in `ranges`, int64 (N,).

    A size that none of them holds is counted with the next larger one, or with the last.
    """
    highest = _by_area(np.array([high for _, high in ranges], np.int64).reshape(-1, 2))
    return np.minimum(np.searchsorted(highest, _by_area(sizes)), max(len(ranges) - 1, 0))


def _by_area(sizes: Indices) -> Indices:
    """One number for each size (N, 2), in the order of area, then height; sides have up to 2²⁰ pixels."""
    found: Indices = (sizes.prod(axis=1) << _HEIGHT_BITS) | sizes[:, 0]
    return found


def range_name(sizes: SizeRange) -> str:
    """ "32x32", or "32x32 to 64x48": the smallest and the largest size, by area, as records name a range."""
    low, high = (resolution_name(*size) for size in sizes)
    return low if low == high else f"{low} to {high}"
