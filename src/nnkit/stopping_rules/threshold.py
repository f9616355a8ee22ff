"""threshold: stop as soon as a metric is below, or above, a bound."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from nnkit.errors import UsageError
from nnkit.stopping_rules._metric import no_such_metric
from nnkit.types import EpochResult


class Threshold:
    """Stop when `metric` is less than `below`, or more than `above`: exactly one of the two is given.

    NaN is neither, so it never stops. A metric that the epoch lacks stops at once. `UsageError` where both
    bounds are given or none, or where the bound is NaN.
    """

    def __init__(
        self, *, metric: str = "val_loss", below: float | None = None, above: float | None = None
    ) -> None:
        bounds = [bound for bound in (below, above) if bound is not None]
        if len(bounds) != 1 or math.isnan(bounds[0]):
            raise UsageError(
                f"expected a number as one of below and above, but got below={below}, above={above}",
                hint="Give, for example, threshold:metric=val_loss,below=0.01.",
            )
        self.metric = metric
        self.below = below
        self.above = above

    def update(self, epoch: EpochResult) -> str | None:
        """The reason to stop after this epoch, or None to continue."""
        value = epoch.metrics.get(self.metric)
        if value is None:
            return no_such_metric(self.metric, epoch)
        if self.below is not None and value < self.below:
            return f"{self.metric} is {value:.6g}, below {self.below:.6g}"
        if self.above is not None and value > self.above:
            return f"{self.metric} is {value:.6g}, above {self.above:.6g}"
        return None

    def state_dict(self) -> dict[str, Any]:
        """Empty: each epoch is judged by itself."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """There is no state to restore."""
