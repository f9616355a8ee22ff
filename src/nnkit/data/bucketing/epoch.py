"""An epoch's batches for all ranks together: how they are planned, and the forecast of their cost."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnkit.data.bucketing.clustering import Ints
from nnkit.data.bucketing.size_order import near_order
from nnkit.data.bucketing.sizes import Buckets
from nnkit.data.bucketing.steps import Runs, Steps, cut_steps, merge_leftovers
from nnkit.types import Leftovers, PadTo

MOST_IMAGES = 2**31
MOST_PIXELS = 2**62
"""A batch's limits are taken as no larger, so that sums over batches fit 64 bits."""


@dataclass(frozen=True)
class BucketForecast:
    """One bucket in an epoch, all ranks together; `fill` is images over batch slots, in [0, 1]."""

    height: int
    width: int
    num_images: int
    num_batches: int
    fill: float


@dataclass(frozen=True)
class Forecast:
    """What an epoch will cost, all ranks together, known before a single image is read.

    `num_images` are processed in `num_batches`, `num_dropped` are in no batch, and `num_merged` went to a
    larger bucket than their own. `fill` is the share of batch slots used. `padded_pixels` are no image's;
    `padded_share` is their share of the `processed_pixels`. Without batches, fill is 1 and the share 0.
    """

    buckets: tuple[BucketForecast, ...]
    num_images: int
    num_batches: int
    num_dropped: int
    num_merged: int
    fill: float
    processed_pixels: int
    padded_pixels: int
    padded_share: float


@dataclass(frozen=True, eq=False)
class EpochPlan:
    """What the ranks share: the images' row (N,) in the order of this epoch, and how it is cut into steps.

    `slots` int64 (K,) is how many images a batch of each bucket may hold.
    """

    buckets: Buckets
    row: NDArray[Any]
    steps: Steps
    slots: Ints
    pad_to: PadTo
    num_merged: int

    @cached_property
    def dropped(self) -> Ints:
        """The images in no batch of any rank, ascending."""
        return np.sort(self.row[self.steps.dropped.positions].astype(np.int64))

    @cached_property
    def forecast(self) -> Forecast:
        """Counts over all ranks; costs little, but for a pass over the images with `pad_to="batch"`."""
        batches, num_buckets = self.steps.of_all_ranks, len(self.buckets)
        num_images = np.bincount(batches.bucket, batches.count, num_buckets).astype(np.int64)
        num_batches = np.bincount(batches.bucket, minlength=num_buckets)
        num_slots = num_batches * self.slots
        processed = int((self._areas(batches) * batches.count).sum())
        padded = processed - self._image_pixels()
        columns = (*self.buckets.shapes.T, num_images, num_batches, num_slots)
        return Forecast(
            buckets=tuple(_bucket_forecast(*row) for row in np.stack(columns, axis=1).tolist()),
            num_images=int(num_images.sum()),
            num_batches=len(batches),
            num_dropped=int(self.steps.dropped.count.sum()),
            num_merged=self.num_merged,
            fill=_share(int(num_images.sum()), int(num_slots.sum()), empty=1.0),
            processed_pixels=processed,
            padded_pixels=padded,
            padded_share=_share(padded, processed, empty=0.0),
        )

    def _areas(self, batches: Runs) -> Ints:
        if self.pad_to == "bucket" or len(batches) == 0:
            areas: Ints = self.buckets.shapes.prod(axis=1)[batches.bucket]
            return areas
        # Each second stretch lies between batches; batches in the order of the row keep it short.
        ends = np.stack([batches.start, batches.start + batches.count], axis=1).ravel()
        areas = np.ones(len(batches), dtype=np.int64)
        for sides in self.buckets.sizes.T:
            in_row = np.append(sides[self.buckets.size_of[self.row]], 0)
            areas *= np.maximum.reduceat(in_row, ends)[::2]
        return areas

    def _image_pixels(self) -> int:
        areas = self.buckets.sizes.prod(axis=1)
        dropped = areas[self.buckets.size_of[self.dropped]].sum()
        return int(areas @ self.buckets.num_of_size) - int(dropped)


def slots_of(shapes: Ints, batch_size: int, max_pixels: int | None) -> Ints:
    """How many images a batch of each bucket may hold, (K,)."""
    most_pixels = MOST_PIXELS if max_pixels is None else min(max_pixels, MOST_PIXELS)
    slots: Ints = np.clip(most_pixels // shapes.prod(axis=1), 1, min(batch_size, MOST_IMAGES))
    return slots


def plan_epoch(
    buckets: Buckets,
    slots: Ints,
    world: int,
    leftovers: Leftovers,
    pad_to: PadTo,
    rng: np.random.Generator | None,
    images: Ints | None = None,
) -> EpochPlan:
    """Put the images into a row, bucket after bucket, and cut it into steps; `rng` None shuffles nothing.

    `images` (M,) are those of the row, some perhaps several times; by default it has each once.
    """
    dtype = np.int32 if buckets.num_images < 2**31 else np.int64
    row = np.arange(buckets.num_images, dtype=dtype) if images is None else images.astype(dtype)
    buckets = buckets if images is None else buckets.of_images(images)
    if rng is not None:
        rng.shuffle(row)
    row = row[np.argsort(buckets.bucket_of[row], kind="stable")]
    num_of_bucket, num_merged = buckets.num_of_bucket, 0
    if leftovers == "merge":
        runs, moved = merge_leftovers(num_of_bucket, world * slots, buckets.next_larger)
        row, num_merged = row[runs.positions], int(runs.count[moved].sum())
        num_of_bucket = np.bincount(runs.bucket, runs.count, len(buckets)).astype(np.int64)
    if pad_to == "batch":
        # What will be dropped stays apart: else it would be the largest images of each bucket, every epoch.
        num_apart = num_of_bucket % (world * slots) if leftovers == "drop" else np.zeros_like(slots)
        _pack(row, num_of_bucket, num_apart, buckets, slots, rng)
    steps = cut_steps(num_of_bucket, slots, world, drop=leftovers == "drop")
    return EpochPlan(buckets, row, steps, slots, pad_to, num_merged)


def _pack(
    row: NDArray[Any],
    num_of_bucket: Ints,
    num_apart: Ints,
    buckets: Buckets,
    slots: Ints,
    rng: np.random.Generator | None,
) -> None:
    """Reorder the row within each bucket, in place, so that batches hold near sizes; not its last images."""
    ends = np.cumsum(num_of_bucket)
    for start, end, batch_size in zip(ends - num_of_bucket, ends - num_apart, slots, strict=True):
        part = row[start:end]
        row[start:end] = part[near_order(buckets.size_of[part], buckets.sizes, int(batch_size), rng)]


def _bucket_forecast(
    height: int, width: int, num_images: int, num_batches: int, slots: int
) -> BucketForecast:
    return BucketForecast(height, width, num_images, num_batches, _share(num_images, slots, empty=1.0))


def _share(part: int, whole: int, *, empty: float) -> float:
    return part / whole if whole else empty
