"""Splits as batches on a device: gathered, brought to floats and normalised as whole batches.

Small image sets live in memory as uint8, so there is no DataLoader and no Python per image: a batch is one
gather and one conversion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from nnkit.data.bucket_sizes import assign_buckets
from nnkit.data.buckets import BucketPlan, Order, plan_batches
from nnkit.types import Batch, Data, Split


class Batches:
    """The batches of one split on one device, by epoch."""

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
        self._buckets = assign_buckets(split.sizes) if len(split) else None
        self._augment = augment
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self._mean, self._std = _statistics(data, device)

    def __len__(self) -> int:
        return len(self.plan())

    def plan(
        self, *, epoch: int = 0, seed: int = 0, shuffle: bool = False, order: Order = "interleaved"
    ) -> BucketPlan:
        """The index batches of an epoch; without `shuffle`, the split in order, smallest images first."""
        return plan_batches(
            self.split.sizes if self._buckets is None else self._buckets,
            batch_size=self.batch_size,
            seed=seed,
            epoch=epoch,
            shuffle=shuffle,
            order=order,
        )

    def load(self, plan: BucketPlan) -> Iterator[Batch]:
        """The batches of a plan. Augmentation draws from torch's default generator as each batch is asked for."""
        for batch in plan:
            yield self._gather(batch.indices, (batch.height, batch.width))

    def _gather(self, positions: object, size: tuple[int, int]) -> Batch:
        indices = self.split.indices[positions]  # type: ignore[index]
        images, mask = self._images.take(indices, size)
        inputs = images.to(torch.float32).div_(255)
        if self._augment is not None:
            inputs = self._augment(inputs)
        if self._mean is not None and self._std is not None:
            inputs = inputs.sub_(self._mean).div_(self._std)
        rows = torch.from_numpy(indices).to(self.device, non_blocking=True)
        targets = self._targets.index_select(0, rows)
        return Batch(inputs.contiguous(memory_format=self._format), targets, positions, mask)  # type: ignore[arg-type]


def _statistics(data: Data, device: torch.device) -> tuple[Tensor | None, Tensor | None]:
    if not data.mean:
        return None, None
    mean = torch.tensor(data.mean, device=device).view(-1, 1, 1)
    return mean, torch.tensor(data.std, device=device).view(-1, 1, 1)
