"""The bucket plan: the batches of an epoch, from sizes, batch size, seed, epoch and rank alone.

A plan is a sequence of index batches and holds no image. All images of a batch are padded (or resized) to
one height × width. The plan is the same for the same arguments, differs between epochs, and is disjoint and
equally long on every rank; `plan[k:]` resumes an epoch at batch k.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args, overload

import numpy as np
from numpy.typing import ArrayLike

from nnkit.data.bucketing.clustering import Ints
from nnkit.data.bucketing.epoch import EpochPlan, Forecast, plan_epoch, slots_of
from nnkit.data.bucketing.sizes import Buckets, assign_buckets, check_int
from nnkit.data.bucketing.steps import Runs
from nnkit.errors import UsageError, did_you_mean, quote
from nnkit.types import Leftovers, PadTo

Order = Literal["interleaved", "by-resolution"]


@dataclass(frozen=True, eq=False)
class IndexBatch:
    """The images of one batch: `indices` int64 (B,), all to be brought to `height` × `width` pixels."""

    indices: Ints
    height: int
    width: int

    def __len__(self) -> int:
        return len(self.indices)


@dataclass(frozen=True, eq=False)
class BucketPlan(Sequence[IndexBatch]):
    """The batches of one rank in one epoch. Batches are made when asked for: a plan costs 4 bytes per image.

    `len` is exact; a slice is a plan of the batches from there on. `whole` is what all ranks share,
    `batches` are this rank's runs of its row.
    """

    whole: EpochPlan
    batches: Runs

    def __len__(self) -> int:
        return len(self.batches)

    @overload
    def __getitem__(self, place: int) -> IndexBatch: ...

    @overload
    def __getitem__(self, place: slice) -> BucketPlan: ...

    def __getitem__(self, place: int | slice) -> IndexBatch | BucketPlan:
        if isinstance(place, slice):
            return replace(self, batches=self.batches[place])
        batch, buckets = self.batches, self.whole.buckets
        start, count = int(batch.start[place]), int(batch.count[place])
        indices = self.whole.row[start : start + count].astype(np.int64)
        if self.whole.pad_to == "batch":
            height, width = buckets.sizes[buckets.size_of[indices]].max(axis=0).tolist()
        else:
            height, width = buckets.shapes[batch.bucket[place]].tolist()
        return IndexBatch(indices, height, width)

    @property
    def forecast(self) -> Forecast:
        """Counts of batches, padded pixels and dropped images of the whole epoch, all ranks together."""
        return self.whole.forecast

    @property
    def dropped(self) -> Ints:
        """The images in no batch of any rank, int64, ascending: their number is `forecast.num_dropped`."""
        return self.whole.dropped


def plan_batches(
    sizes: ArrayLike | Buckets,
    *,
    batch_size: int,
    seed: int = 0,
    epoch: int = 0,
    rank: int = 0,
    world: int = 1,
    shuffle: bool = True,
    order: Order = "interleaved",
    tolerance: float = 0.0,
    max_buckets: int | None = None,
    max_pixels: int | None = None,
    leftovers: Leftovers = "keep",
    pad_to: PadTo = "bucket",
    images: Ints | None = None,
) -> BucketPlan:
    """Plan the batches of one rank in one epoch.

    `sizes` is (N, 2), height × width of each image in pixels, or the `Buckets` that `assign_buckets` made of
    them: they serve every epoch, and `tolerance` and `max_buckets` are then given to it. A batch on each rank
    holds at most `batch_size` images and at most `max_pixels` pixels, padding included, but always an image.

    `order`: batches of all sizes in random order, or all of the smallest bucket first, then the next one's.
    `shuffle=False`: images in the order of the dataset, smallest bucket first, whatever the seed and epoch.

    `leftovers`: what does not fill a batch on every rank is kept as short batches, dropped, or merged into
    the next larger bucket (what has none is kept). With several ranks, a step is of one bucket on all of
    them, except that buckets with fewer images than ranks share steps, last in order. Even with "keep", up
    to `world` - 1 images of an epoch may be dropped, as no image is used twice. To use every image on several
    ranks, as evaluation must, plan for a world of one and let each rank take `plan[rank::world]`.

    `pad_to`: every batch has its bucket's shape, or the smallest that holds its own images. For the latter,
    images of near sizes within a bucket are batched together: much less padding, at the price of nearly as
    many shapes as batches, and of batches that differ less between epochs.

    `images` int64 (M,) are those that the epoch shows, some perhaps several times (default: each once).

    Raises UsageError for a value out of these ranges. The time is linear in N.
    """
    _check(batch_size, seed, epoch, rank, world, max_pixels, order=order, leftovers=leftovers, pad_to=pad_to)
    if not isinstance(sizes, Buckets):
        buckets = assign_buckets(sizes, tolerance=tolerance, max_buckets=max_buckets)
    elif tolerance or max_buckets is not None:
        raise UsageError(
            "tolerance and max_buckets are fixed once buckets are assigned",
            hint="give them to assign_buckets, or give plan_batches the sizes",
        )
    else:
        buckets = sizes
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(epoch,))) if shuffle else None
    slots = slots_of(buckets.shapes, batch_size, max_pixels)
    whole = plan_epoch(buckets, slots, world, leftovers, pad_to, rng, images)
    batches = whole.steps.of_rank(rank)
    if rng is not None and order == "interleaved":
        batches = batches[rng.permutation(len(batches))]
    return BucketPlan(whole, batches)


def _check(
    batch_size: int,
    seed: int,
    epoch: int,
    rank: int,
    world: int,
    max_pixels: int | None,
    **choices: str,
) -> None:
    check_int("batch_size", batch_size, at_least=1)
    check_int("seed", seed, at_least=0)
    check_int("epoch", epoch, at_least=0)
    check_int("world", world, at_least=1)
    check_int("rank", rank, at_least=0)
    if rank >= world:
        raise UsageError(f"rank={rank}: expected less than world={world}")
    if max_pixels is not None:
        check_int("max_pixels", max_pixels, at_least=1)
    known = {"order": get_args(Order), "leftovers": get_args(Leftovers), "pad_to": get_args(PadTo)}
    for name, value in choices.items():
        if value not in known[name]:
            expected = ", ".join(known[name])
            raise UsageError(
                f"{name}={quote(value)}: expected one of {expected}",
                hint=did_you_mean(str(value), known[name]),
            )
