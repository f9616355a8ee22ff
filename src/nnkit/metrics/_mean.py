"""Shared by the metrics that are means: a total, which stays on the device of the batches, and a count."""

from __future__ import annotations

import math

from torch import Tensor


class Mean:
    """A mean over all batches, NaN of nothing."""

    def __init__(self) -> None:
        self._total: Tensor | None = None
        self._count = 0

    def add(self, total: Tensor, count: int) -> None:
        """Add a batch: the sum of its values, a tensor of one, and how many they are."""
        self._total = total if self._total is None else self._total + total
        self._count += count

    def value(self) -> float:
        """The mean."""
        return float(self._total) / self._count if self._total is not None and self._count else math.nan

    def reset(self) -> None:
        """Forget all batches."""
        self._total, self._count = None, 0
