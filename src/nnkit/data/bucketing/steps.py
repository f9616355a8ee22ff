"""How each bucket's images are cut into steps, one batch per rank, and what is done with incomplete batches.

Shapes: K buckets, S steps, W ranks. The images form one row, bucket after bucket; a run of them is a
start and a count. All ranks compute the same steps, and each takes its own part.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nnkit.data.bucketing.clustering import Ints


@dataclass(frozen=True, eq=False)
class Runs:
    """Runs of images in the row: int64 arrays of one length, with the bucket of each."""

    bucket: Ints
    start: Ints
    count: Ints

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, chosen: slice | Ints | NDArray[np.bool_]) -> Runs:
        return Runs(self.bucket[chosen], self.start[chosen], self.count[chosen])

    @property
    def positions(self) -> Ints:
        """The places in the row that the runs cover, one run after the other."""
        return np.repeat(self.start, self.count) + count_up(self.count)


@dataclass(frozen=True, eq=False)
class Steps:
    """The steps of an epoch for `world` ranks.

    In a step of `shared`, the ranks divide a run of one bucket as evenly as can be, at least one image each.
    `mixed` holds `world` batches per step, one per rank, of buckets that had too few images for all ranks.
    `dropped` is in no step.
    """

    world: int
    shared: Runs
    mixed: Runs
    dropped: Runs

    def __len__(self) -> int:
        return len(self.shared) + len(self.mixed) // self.world

    def of_rank(self, rank: int) -> Runs:
        """The batches of one rank, in the order of the steps."""
        each, extra = np.divmod(self.shared.count, self.world)
        start = self.shared.start + rank * each + np.minimum(rank, extra)
        mixed = self.mixed[rank :: self.world]
        return Runs(
            np.concatenate([self.shared.bucket, mixed.bucket]),
            np.concatenate([start, mixed.start]),
            np.concatenate([each + (rank < extra), mixed.count]),
        )

    @cached_property
    def of_all_ranks(self) -> Runs:
        """The batches of every rank, in the order of the row."""
        ranks = [self.of_rank(rank) for rank in range(self.world)]
        bucket = np.concatenate([runs.bucket for runs in ranks])
        start = np.concatenate([runs.start for runs in ranks])
        count: Ints = np.concatenate([runs.count for runs in ranks])
        in_row = np.argsort(start, kind="stable")
        return Runs(bucket[in_row], start[in_row], count[in_row])


def cut_steps(num_of_bucket: Ints, images_per_batch: Ints, world: int, *, drop: bool) -> Steps:
    """Cut buckets of `num_of_bucket` (K,) images into steps of up to `images_per_batch` (K,) on each rank.

    With `drop`, only full steps are kept. Otherwise a bucket's leftovers are a short step; where they are
    fewer than the ranks, the step before lends some. Buckets that cannot even so give every rank an image
    share steps with one another, and fewer than `world` images of the whole epoch remain to be dropped.
    """
    full = world * images_per_batch
    num_full, left = num_of_bucket // full, num_of_bucket % full
    first = np.cumsum(num_of_bucket) - num_of_bucket
    leftovers = Runs(np.arange(len(first)), first + num_full * full, left)
    if drop:
        shared = _shared(first, full, num_full, np.zeros_like(left), np.zeros_like(left))
        return Steps(world, shared, leftovers[:0], leftovers[left > 0])
    too_few = (left > 0) & (left < world)
    lends = too_few & (num_full > 0) & (images_per_batch > 1)
    alone = too_few & ~lends
    shared = _shared(first, full, num_full, np.where(alone, 0, left), np.where(lends, world - left, 0))
    mixed, dropped = _mix(_pieces(leftovers[alone], images_per_batch[alone]), world)
    return Steps(world, shared, mixed, dropped)


def merge_leftovers(
    num_of_bucket: Ints, images_per_step: Ints, next_larger: Ints
) -> tuple[Runs, NDArray[np.bool_]]:
    """Hand what does not fill a step on to the next larger bucket: the new row, as runs of the old one.

    Goes through the buckets from the smallest; a bucket without a larger one keeps its leftovers. The runs'
    `bucket` is where the images end, the flags (one per run) say whether that is another than their own.
    """
    first = np.cumsum(num_of_bucket) - num_of_bucket
    # Plain lists: the runs of one bucket are few, and each hand-over depends on the ones before it.
    queues = [[(k, start, count)] for k, (start, count) in enumerate(_pairs(first, num_of_bucket))]
    rows: list[tuple[int, int, int, bool]] = []
    for k, (step, larger) in enumerate(_pairs(images_per_step, next_larger)):
        queue = queues[k]
        leave = sum(count for _, _, count in queue) % step if larger >= 0 else 0
        while leave > 0:
            origin, start, count = queue.pop()
            moved = min(leave, count)
            if moved < count:
                queue.append((origin, start, count - moved))
            # In front, so that a bucket hands on its own images first and the same ones rarely move twice.
            queues[larger].insert(0, (origin, start + count - moved, moved))
            leave -= moved
        rows += [(k, start, count, origin != k) for origin, start, count in queue]
    table = np.array(rows, dtype=np.int64).reshape(-1, 4)
    return Runs(table[:, 0], table[:, 1], table[:, 2]), table[:, 3].astype(bool)


def _pairs(left: Ints, right: Ints) -> zip[tuple[int, int]]:
    return zip(left.tolist(), right.tolist(), strict=True)


def _shared(first: Ints, full: Ints, num_full: Ints, left: Ints, lent: Ints) -> Runs:
    """Full steps of each bucket, then its short one; the step before lends it its last `lent` images."""
    num_steps = num_full + (left > 0)
    bucket = np.repeat(np.arange(len(first)), num_steps)
    step = count_up(num_steps)
    is_short = step == num_full[bucket]
    is_lender = step == num_full[bucket] - 1
    start = first[bucket] + step * full[bucket] - lent[bucket] * is_short
    count = np.where(is_short, (left + lent)[bucket], full[bucket] - lent[bucket] * is_lender)
    return Runs(bucket, start, count)


def _pieces(runs: Runs, longest: Ints) -> Runs:
    """The runs, cut into pieces of at most `longest` images."""
    num_pieces = -(-runs.count // longest)
    of_run = np.repeat(np.arange(len(runs)), num_pieces)
    done = count_up(num_pieces) * longest[of_run]
    return Runs(
        runs.bucket[of_run], runs.start[of_run] + done, np.minimum(longest[of_run], runs.count[of_run] - done)
    )


def _mix(runs: Runs, world: int) -> tuple[Runs, Runs]:
    """Make whole steps of single batches: split the longest if that suffices, else leave out the shortest."""
    num_steps = -(-len(runs) // world)
    if num_steps * world > runs.count.sum():
        longest_first = np.argsort(-runs.count, kind="stable")
        num_kept = (num_steps - 1) * world
        return runs[np.sort(longest_first[:num_kept])], runs[np.sort(longest_first[num_kept:])]
    while len(runs) % world:
        runs = _split(runs, int(runs.count.argmax()))
    return runs, runs[:0]


def _split(runs: Runs, place: int) -> Runs:
    half = int(runs.count[place]) // 2
    start, count = runs.start.copy(), runs.count.copy()
    start[place], count[place] = start[place] + half, count[place] - half
    return Runs(
        np.insert(runs.bucket, place, runs.bucket[place]),
        np.insert(start, place, runs.start[place]),
        np.insert(count, place, half),
    )


def count_up(counts: Ints) -> Ints:
    """0, 1, ... below each count, one after the other."""
    ends = np.cumsum(counts)
    return np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - counts, counts)
