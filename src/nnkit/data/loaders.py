"""Splits as batches on a device: fetched, brought to floats, augmented and normalised as whole batches.

Rows, targets and sizes of an epoch are uploaded once, when the epoch begins: a batch uploads nothing and
reads nothing back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor

from nnkit.data.bucketing import BucketPlan, Order, plan_batches
from nnkit.data.bucketing.epoch import Forecast
from nnkit.data.bucketing.sizes import Buckets, assign_buckets
from nnkit.data.images import Indices
from nnkit.data.resolutions import range_name, range_of, ranges_of, size_ranges
from nnkit.data.sampling import balanced_draw
from nnkit.types import EXACT_SIZES, Augmentation, Batch, Bucketing, Data, Padded, Size, SizeRanges, Split

Sampler = Literal["shuffle", "balanced"]


class _Loader:
    """What training and evaluation share: how a planned batch is made."""

    def __init__(
        self,
        data: Data,
        split: Split,
        *,
        batch_size: int,
        device: torch.device,
        bucketing: Bucketing = EXACT_SIZES,
        channels_last: bool = False,
        augment: Augmentation | None = None,
    ) -> None:
        self.split = split
        self.batch_size = batch_size
        self.device = device
        self.bucketing = bucketing
        self.channels_last = channels_last
        self._augment = augment
        self._images = split.images.to(device)
        self._targets = split.targets.to(device)
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self._mean, self._std = _statistics(data, device)
        self._data = data

    def with_batch_size(self, batch_size: int) -> Self:
        """The same split in batches of another size."""
        other = copy(self)
        other.batch_size = batch_size
        other._forget_plans()
        return other

    def _forget_plans(self) -> None:
        """Drop what was planned for another batch size."""

    def load(self, plan: BucketPlan, *, start: int = 0) -> Iterator[Batch]:
        """The batches of a plan from number `start` on, each made when asked for.

        Augmentation draws from torch's generator.
        """
        planned = list(plan)[start:]
        if not planned:
            return
        lengths = [len(batch) for batch in planned]
        positions = np.concatenate([batch.indices for batch in planned])
        order = self.split.indices[positions]
        requests = [
            (part, (batch.height, batch.width))
            for part, batch in zip(np.split(order, np.cumsum(lengths)[:-1]), planned, strict=True)
        ]
        original = _common_sizes(self.split.original_sizes[positions], lengths)
        targets = self._targets_in_turn(order, lengths)
        sizes = self._sizes_in_turn(order, lengths)
        named = self._resolutions_in_turn(positions, lengths)
        fetched = self._images.batches(requests)
        for batch, (images, mask), target, size, own, name in zip(
            planned, fetched, targets, sizes, original, named, strict=True
        ):
            inputs, mask = self._finished(images, mask, size)
            yield Batch(inputs, target, batch.indices, mask, own, name)

    def _resolutions_in_turn(self, positions: Indices, lengths: Sequence[int]) -> Iterator[str | None]:
        """The resolution of each batch, where its images are known to have one."""
        yield from [None] * len(lengths)

    def _targets_in_turn(self, order: Indices, lengths: Sequence[int]) -> Iterator[Tensor]:
        """The targets of each batch: class indices are gathered once an epoch, images batch by batch."""
        rows = torch.from_numpy(order).to(self.device, non_blocking=True)
        if self._targets.ndim == 1:
            yield from torch.split(self._targets.index_select(0, rows), list(lengths))
        else:
            for part in torch.split(rows, list(lengths)):
                yield self._targets.index_select(0, part)

    def _sizes_in_turn(self, order: Indices, lengths: Sequence[int]) -> Iterator[Tensor | None]:
        """The sizes of the images of each batch, (B, 2) on the device, where augmentation asks for them."""
        if self._augment is None:
            yield from [None] * len(lengths)
        else:
            sizes = torch.from_numpy(self._images.sizes[order]).to(self.device, non_blocking=True)
            yield from torch.split(sizes, list(lengths))

    def _finished(self, images: Tensor, mask: Tensor | None, sizes: Tensor | None) -> Padded:
        """Inputs and mask of a batch: as floats, augmented and normalised."""
        # Two steps: dividing the 8-bit values themselves takes the CPU five times as long.
        inputs = images.to(torch.get_default_dtype()).div_(255)
        if self._augment is not None and sizes is not None:
            inputs, mask = self._augment(inputs, mask, sizes)
        if self._mean is not None and self._std is not None:
            inputs = inputs.sub_(self._mean).div_(self._std)
        if mask is not None:
            inputs = inputs.mul_(mask)  # masked_fill_ takes the CPU seven times as long
        return inputs.contiguous(memory_format=self._format), mask


class TrainLoader(_Loader):
    """The batches of training: the images share buckets as `bucketing` says, shuffled anew in each epoch.

    `sampler` "balanced" shows each class equally often in an epoch of as many images as the split has.
    """

    sampler: Sampler = "shuffle"
    _planned: tuple[tuple[int, int, Order], BucketPlan] | None = None
    """The last plan that was asked for, by epoch, seed and order."""

    def __len__(self) -> int:
        """The number of batches of an epoch, the same in each."""
        return self.forecast.num_batches

    def plan(self, *, epoch: int = 1, seed: int = 0, order: Order = "interleaved") -> BucketPlan:
        """The index batches of an epoch."""
        asked = epoch, seed, order
        if self._planned is None or self._planned[0] != asked:
            # Planning a million images takes seconds: the last epoch's plan is kept.
            self._planned = asked, self._make_plan(*asked)
        return self._planned[1]

    @property
    def forecast(self) -> Forecast:
        """What any epoch costs, whatever its number and seed: batches, padding, dropped images."""
        plan = self._planned[1] if self._planned is not None else self.plan()
        return plan.forecast

    @property
    def pads(self) -> bool:
        """Whether a batch may be padded, so that it comes with a mask."""
        buckets = self._buckets
        sizes_differ = not np.array_equal(buckets.shapes[buckets.bucket_of_size], buckets.sizes)
        return sizes_differ or self.forecast.num_merged > 0

    def _forget_plans(self) -> None:
        self._planned = None

    def _make_plan(self, epoch: int, seed: int, order: Order) -> BucketPlan:
        return plan_batches(
            self._buckets,
            batch_size=self.batch_size,
            seed=seed,
            epoch=epoch,
            order=order,
            max_pixels=self.bucketing.max_pixels,
            leftovers=self.bucketing.leftovers,
            pad_to=self.bucketing.pad_to,
            images=self._drawn(epoch, seed),
        )

    def _drawn(self, epoch: int, seed: int) -> Indices | None:
        """The images of an epoch that shows each class equally often; None where it shows each image once."""
        if self.sampler == "shuffle":
            return None
        return balanced_draw(self._labels, self._buckets.bucket_of, seed=seed, epoch=epoch)

    @cached_property
    def _labels(self) -> Indices:
        """The class of each image of the split, int64 (N,)."""
        rows = torch.from_numpy(self.split.indices)
        labels: Indices = self.split.targets.cpu()[rows].numpy()
        return labels

    @cached_property
    def _buckets(self) -> Buckets:
        shared = self.bucketing
        if shared.resize_policy != "keep":  # the images have the shapes of their buckets already
            return assign_buckets(self.split.sizes)
        return assign_buckets(self.split.sizes, tolerance=shared.tolerance, max_buckets=shared.max_buckets)


class EvalLoader(_Loader):
    """The batches of evaluation: every image once, smallest first, unpadded, in the order of the split.

    A batch's images are of one shape now, and of one resolution, so that metrics can be reported by it: one
    original size, or one range of them where the data has many. Of `bucketing` it takes `max_pixels` alone:
    how many pixels a batch may have in that shape.
    """

    def __len__(self) -> int:
        """The number of batches."""
        return len(self.plan())

    def __iter__(self) -> Iterator[Batch]:
        """All the batches."""
        return self.load(self.plan())

    def plan(self) -> BucketPlan:
        """The index batches, the same each time."""
        return self._plan

    @cached_property
    def _plan(self) -> BucketPlan:
        return plan_batches(
            _by_resolution(self._resolution_of, self.split.sizes),
            batch_size=self.batch_size,
            shuffle=False,
            max_pixels=self.bucketing.max_pixels,
        )

    @cached_property
    def _resolutions(self) -> SizeRanges:
        return ranges_of(self._data) or size_ranges(self.split.original_sizes)

    @cached_property
    def _resolution_of(self) -> Indices:
        """The resolution of each image of the split, its place among those of the data, int64 (N,)."""
        return range_of(self.split.original_sizes, self._resolutions)

    def _resolutions_in_turn(self, positions: Indices, lengths: Sequence[int]) -> Iterator[str | None]:
        names = [range_name(sizes) for sizes in self._resolutions]
        firsts = positions[np.cumsum([0, *lengths[:-1]])]
        yield from (names[place] for place in self._resolution_of[firsts].tolist())

    def _forget_plans(self) -> None:
        self.__dict__.pop("_plan", None)


def _by_resolution(resolution_of: Indices, sizes: Indices) -> Buckets:
    """Buckets of images of one resolution and one size now, smallest resolution first, then by area."""
    both = np.concatenate([resolution_of[:, None], sizes], axis=1).reshape(-1, 3)
    distinct, size_of, counts = np.unique(both, axis=0, return_inverse=True, return_counts=True)
    resolutions, heights, widths = distinct.T
    by_area = np.lexsort((widths, heights, heights * widths, resolutions))
    place = np.empty_like(by_area)
    place[by_area] = np.arange(len(by_area))
    shapes = distinct[by_area, 1:]
    return Buckets(shapes, shapes, place[size_of.reshape(-1)], np.arange(len(shapes)), counts[by_area])


def _common_sizes(sizes: Indices, lengths: Sequence[int]) -> Iterator[Size | None]:
    """The one size that all images of a batch have, None where there are several; sizes (N, 2) in turn."""
    starts = np.cumsum([0, *lengths[:-1]])
    low, high = np.minimum.reduceat(sizes, starts), np.maximum.reduceat(sizes, starts)
    for (height, width), is_one in zip(low.tolist(), (low == high).all(axis=1).tolist(), strict=True):
        yield (height, width) if is_one else None


def data_to(data: Data, device: torch.device) -> Data:
    """The data on a device; what several splits share is copied once."""
    images = {id(split.images): split.images.to(device) for split in data.splits.values()}
    targets = {id(split.targets): split.targets.to(device) for split in data.splits.values()}
    splits = {
        name: replace(split, images=images[id(split.images)], targets=targets[id(split.targets)])
        for name, split in data.splits.items()
    }
    return replace(data, splits=splits)


def normalises(mean: tuple[float, ...], std: tuple[float, ...]) -> bool:
    """Whether (input - mean) / std changes anything."""
    return any(mean) or any(value != 1 for value in std)


def _statistics(data: Data, device: torch.device) -> tuple[Tensor | None, Tensor | None]:
    if not normalises(data.mean, data.std):
        return None, None
    mean = torch.tensor(data.mean, device=device).view(-1, 1, 1)
    return mean, torch.tensor(data.std, device=device).view(-1, 1, 1)
