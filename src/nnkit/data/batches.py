"""Splits as batches on a device: gathered, brought to floats and normalised as whole batches.

Small image sets live in memory as uint8, so there is no DataLoader and no Python per image: a batch is one
gather and one conversion. Larger ones are read from their files; the batches are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from nnkit.data.bucketing import BucketPlan, Order, plan_batches
from nnkit.data.bucketing.choice import Ints
from nnkit.data.bucketing.epoch import Forecast
from nnkit.data.bucketing.sizes import Buckets, assign_buckets
from nnkit.data.images import Padded, Request
from nnkit.types import Batch, Data, Size, Split


class Batches:
    """The batches of one split on one device, by epoch.

    Plans with `shuffle` are for training: the images share buckets as `data.bucketing` says. Those without
    are for evaluation: each batch is of one own size, unpadded, and every image is in one.
    """

    def __init__(
        self,
        data: Data,
        split: Split,
        *,
        batch_size: int,
        device: torch.device,
        channels_last: bool = False,
        augment: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.split = split
        self.batch_size = batch_size
        self.device = device
        self._images = split.images.to(device)
        self._targets = split.targets.to(device)
        self._own_sizes = split.own_sizes
        self._bucketing = data.bucketing
        self._own_buckets = assign_buckets(self._own_sizes)
        self._augment = augment
        self.channels_last = channels_last
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self._mean, self._std = _statistics(data, device)
        self._planned: tuple[tuple[object, ...], BucketPlan] | None = None

    def __len__(self) -> int:
        """The number of batches of a training epoch, the same in each."""
        return self._forecast.num_batches

    def with_batch_size(self, batch_size: int) -> Batches:
        """The same split in batches of another size."""
        other = copy(self)
        other.batch_size, other._planned = batch_size, None
        return other

    @cached_property
    def _buckets(self) -> Buckets:
        """Those of training: evaluation need not wait until they are chosen."""
        told = self._bucketing
        if told.fit == "resize":  # the images have the shapes of their buckets already
            return assign_buckets(self.split.sizes)
        return assign_buckets(self.split.sizes, tolerance=told.tolerance, max_buckets=told.max_buckets)

    @property
    def pads(self) -> bool:
        """Whether a batch of training may be padded, so that it comes with a mask."""
        buckets = self._buckets
        sizes_differ = not np.array_equal(buckets.shapes[buckets.bucket_of_size], buckets.sizes)
        return sizes_differ or self._forecast.num_merged > 0

    @property
    def _forecast(self) -> Forecast:
        """What any epoch of training costs: it depends on neither seed nor epoch."""
        plan = self._planned[1] if self._planned is not None else self.plan(epoch=1, shuffle=True)
        return plan.forecast

    def plan(
        self, *, epoch: int = 0, seed: int = 0, shuffle: bool = False, order: Order = "interleaved"
    ) -> BucketPlan:
        """The index batches of an epoch of training; without `shuffle`, of evaluation.

        Evaluation takes the split in order, smallest images first; a batch's images are of one own size, so
        that results can be told apart by it.
        """
        asked, told = (epoch, seed, order), self._bucketing
        if shuffle and self._planned is not None and self._planned[0] == asked:
            return self._planned[1]
        plan = plan_batches(
            self._buckets if shuffle else self._own_buckets,
            batch_size=self.batch_size,
            seed=seed,
            epoch=epoch,
            shuffle=shuffle,
            order=order,
            max_pixels=told.max_pixels,
            leftovers=told.leftovers if shuffle else "keep",
            pad_to=told.pad_to if shuffle else "bucket",
        )
        if shuffle:  # planning a million images takes seconds: the last epoch's plan is kept
            self._planned = asked, plan
        return plan

    def load(self, plan: BucketPlan) -> Iterator[Batch]:
        """The batches of a plan, each made when asked for; augmentation draws from torch's generator."""
        images = self._images.batches(self._requests(plan))
        for batch, padded in zip(plan, images, strict=True):
            yield self._finished(batch.indices, padded)

    def _requests(self, plan: BucketPlan) -> Iterator[Request]:
        # Buckets by own size say nothing of the shape that images have after they were resized.
        has_shapes = plan.whole.buckets is not self._own_buckets
        for batch in plan:
            yield self.split.indices[batch.indices], (batch.height, batch.width) if has_shapes else None

    def _finished(self, positions: Ints, padded: Padded) -> Batch:
        images, mask = padded
        inputs = images.to(torch.get_default_dtype()).div_(255)
        if self._augment is not None:
            # Of a padded batch it sees the canvas: what it moves beyond an image's own rectangle is cut off.
            inputs = self._augment(inputs)
        if self._mean is not None and self._std is not None:
            inputs = inputs.sub_(self._mean).div_(self._std)
        if mask is not None:
            inputs = inputs.masked_fill_(~mask, 0)
        rows = torch.from_numpy(self.split.indices[positions]).to(self.device, non_blocking=True)
        targets = self._targets.index_select(0, rows)
        inputs = inputs.contiguous(memory_format=self._format)
        return Batch(inputs, targets, positions, mask, self._own_size(positions))

    def _own_size(self, positions: Ints) -> Size | None:
        sizes = self._own_sizes[positions]
        return (int(sizes[0, 0]), int(sizes[0, 1])) if (sizes == sizes[0]).all() else None


def moved(data: Data, device: torch.device) -> Data:
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
