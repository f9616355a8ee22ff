"""Which images share a bucket: computed once per dataset, from the images' sizes alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nnkit.data.bucketing.clustering import Ints, cheapest_groups, group_shapes, near_groups
from nnkit.errors import UsageError, quote

MAX_SIDE = 2**20


@dataclass(frozen=True, eq=False)
class Buckets:
    """The buckets of a dataset of N images with D distinct sizes: K shapes, smallest area first.

    `sizes` int64 (D, 2) and `shapes` int64 (K, 2) are heights × widths in pixels; `size_of` (N,) is each
    image's row in `sizes`, `bucket_of_size` int64 (D,) each size's row in `shapes`, `num_of_size` int64 (D,)
    the images of each size. A bucket's shape is the largest height and the largest width of its members.
    """

    sizes: Ints
    shapes: Ints
    size_of: NDArray[Any]
    bucket_of_size: Ints
    num_of_size: Ints

    def __len__(self) -> int:
        return len(self.shapes)

    @property
    def num_images(self) -> int:
        """N."""
        return len(self.size_of)

    @cached_property
    def bucket_of(self) -> NDArray[Any]:
        """Each image's bucket, (N,), of the smallest unsigned type that holds K."""
        bucket_of: NDArray[Any] = self.bucket_of_size.astype(smallest_dtype(len(self)))[self.size_of]
        return bucket_of

    @cached_property
    def num_of_bucket(self) -> Ints:
        """The images of each bucket, int64 (K,)."""
        counts = np.zeros(len(self), dtype=np.int64)
        np.add.at(counts, self.bucket_of_size, self.num_of_size)
        return counts

    def of_images(self, images: Ints) -> Buckets:
        """The same buckets, for the images (M,) that an epoch shows, some of them perhaps several times.

        Images keep their numbers: `size_of` is still each image's.
        """
        counts = np.bincount(self.size_of[images], minlength=len(self.sizes)).astype(np.int64)
        return replace(self, num_of_size=counts)

    @cached_property
    def next_larger(self) -> Ints:
        """The smallest other bucket that holds each bucket's shape, int64 (K,); -1 where none does."""
        found = [_next_holder(self.shapes, k) for k in range(len(self))]
        return np.array(found, dtype=np.int64)


def assign_buckets(sizes: ArrayLike, *, tolerance: float = 0.0, max_buckets: int | None = None) -> Buckets:
    """Put each image into a bucket; depends on the sizes alone, so it is done once and serves every epoch.

    `sizes` is (N, 2), height × width in pixels, each from 1 to 2²⁰. With the defaults each distinct size
    is a bucket. With a `tolerance`, near sizes share one, whose sides exceed no member's by more than that
    share (0.1: ten per cent). With `max_buckets` at most that many are made, of the sizes or of what the
    tolerance made of them, such that little is padded. Raises UsageError for any other value. Time is linear
    in N where the sizes' range is not much larger than N, else N log N.
    """
    if not (isinstance(tolerance, (int, float)) and math.isfinite(tolerance) and tolerance >= 0):
        raise UsageError(f"tolerance={quote(tolerance)}: expected a number from 0 on, such as 0.1")
    if max_buckets is not None:
        check_int("max_buckets", max_buckets, at_least=1)
    distinct, size_of, num_of_size = _distinct(_checked_sizes(sizes))
    groups = near_groups(distinct, tolerance)
    if max_buckets is not None:
        shapes, counts = group_shapes(distinct, groups), np.bincount(groups, num_of_size).astype(np.int64)
        groups = cheapest_groups(shapes, counts, max_buckets)[groups]
    shapes = group_shapes(distinct, groups)
    by_area = np.lexsort((shapes[:, 1], shapes[:, 0], shapes.prod(axis=1)))
    place = np.empty_like(by_area)
    place[by_area] = np.arange(len(by_area))
    return Buckets(distinct, shapes[by_area], size_of, place[groups], num_of_size)


def check_int(name: str, value: object, *, at_least: int) -> None:
    """UsageError that names the argument, unless the value is a whole number from `at_least` on."""
    is_int = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not is_int or value < at_least:  # type: ignore[operator]
        raise UsageError(f"{name}={quote(value)}: expected a whole number from {at_least} on")


def smallest_dtype(num_values: int) -> np.dtype[Any]:
    """16 bits where they suffice: numpy sorts those by radix, several times faster than wider ones."""
    return np.dtype(np.uint16 if num_values <= 2**16 else np.int32)


def _checked_sizes(sizes: ArrayLike) -> NDArray[Any]:
    array = np.asarray(sizes)
    if array.size == 0:
        return np.zeros((0, 2), dtype=np.int64)
    if array.ndim != 2 or array.shape[1] != 2:
        raise UsageError(f"sizes of shape {array.shape}: expected (N, 2), height and width of each image")
    if not np.issubdtype(array.dtype, np.integer):
        raise UsageError(f"sizes of type {array.dtype}: expected whole numbers of pixels")
    if array.min() < 1 or array.max() > MAX_SIDE:
        worst = int(((array < 1) | (array > MAX_SIDE)).any(axis=1).argmax())
        raise UsageError(
            f"sizes[{worst}]={array[worst].tolist()}: expected height and width from 1 to {MAX_SIDE} pixels"
        )
    return array


def _distinct(sizes: NDArray[Any]) -> tuple[Ints, NDArray[Any], Ints]:
    """The distinct sizes in order, each image's row among them, and the images of each."""
    if len(sizes) == 0:
        return np.zeros((0, 2), dtype=np.int64), np.zeros(0, dtype=np.uint16), np.zeros(0, dtype=np.int64)
    low, high = sizes.min(axis=0).astype(np.int64), sizes.max(axis=0).astype(np.int64)
    stride = int(high[1] - low[1]) + 1
    keys = sizes[:, 0].astype(np.int64)
    keys -= low[0]
    keys *= stride
    keys += sizes[:, 1]
    keys -= low[1]
    span = (int(high[0] - low[0]) + 1) * stride
    values, size_of, counts = _ranked(keys, span)
    return np.stack([values // stride + low[0], values % stride + low[1]], axis=1), size_of, counts


def _ranked(keys: Ints, span: int) -> tuple[Ints, NDArray[Any], Ints]:
    """The distinct keys, each key's rank among them, their counts; by a table if it is short, else sorted."""
    if span <= max(2**16, len(keys)):
        table = np.bincount(keys, minlength=span)
        values = np.flatnonzero(table)
        counts = table[values]
        table[values] = np.arange(len(values))
        return values, table.astype(smallest_dtype(len(values)))[keys], counts
    values, counts = np.unique(keys, return_counts=True)
    return values, np.searchsorted(values, keys).astype(smallest_dtype(len(values))), counts


def _next_holder(shapes: Ints, k: int) -> int:
    """Shapes are sorted by area, so the first later one that holds k is the smallest; searched in blocks."""
    for first in range(k + 1, len(shapes), 1024):
        holds = (shapes[first : first + 1024] >= shapes[k]).all(axis=1)
        if holds.any():
            return first + int(holds.argmax())
    return -1
