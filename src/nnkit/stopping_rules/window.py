"""window: stop when a metric hardly changes over a window of epochs."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any, Literal

from nnkit.errors import UsageError, quote
from nnkit.stopping_rules._metric import check_min_delta, no_such_metric
from nnkit.types import EpochResult


class Window:
    """Stop when `metric` improved by less than `min_delta` within `epochs` epochs (report C).

    - range: the largest less the smallest of the last `epochs` values is below `min_delta`
    - lag: the value `epochs` epochs ago less the lowest since is below `min_delta` (or the highest since
      less that value, for a metric of which more is better): a metric that only gets worse stops, too

    A NaN or infinite value within the window puts off the answer until it has left, unless no value of the
    window is finite: then it stops. A metric that the epoch lacks stops at once. `UsageError` for fewer
    than 1 epoch (2 for range), or a min_delta that is negative or no number (or 0 for range).
    """

    def __init__(
        self,
        *,
        metric: str = "val_loss",
        epochs: int = 10,
        min_delta: float = 1e-6,
        variant: Literal["range", "lag"] = "range",
    ) -> None:
        if variant not in ("range", "lag"):
            raise UsageError(
                f"expected variant to be range or lag, but got variant={quote(variant)}",
                hint="Give variant=range or variant=lag.",
            )
        least = 2 if variant == "range" else 1
        if epochs < least:
            raise UsageError(
                f"expected epochs to be at least {least} for variant={variant}, but got epochs={epochs}",
                hint="Give the length of the window, such as epochs=10.",
            )
        check_min_delta(min_delta)
        if variant == "range" and min_delta == 0:
            raise UsageError(
                "expected min_delta above 0 for variant=range, but got min_delta=0: no range is below it",
                hint="Give, for example, min_delta=1e-6.",
            )
        self.metric = metric
        self.epochs = epochs
        self.min_delta = min_delta
        self.variant = variant
        self.values: deque[float | None] = deque(maxlen=epochs + (variant == "lag"))

    def update(self, epoch: EpochResult) -> str | None:
        """The reason to stop after this epoch, or None to continue."""
        value = epoch.metrics.get(self.metric)
        if value is None:
            return no_such_metric(self.metric, epoch)
        self.values.append(value if math.isfinite(value) else None)
        if len(self.values) != self.values.maxlen:
            return None
        finite = [value for value in self.values if value is not None]
        if not finite:
            return f"{self.metric} has not been a finite number for {len(self.values)} epochs"
        if len(finite) < len(self.values):
            return None
        gain = self._gain(finite, less=epoch.lower_is_better(self.metric))
        if gain >= self.min_delta:
            return None
        what = "range" if self.variant == "range" else "improvement"
        return f"{self.metric}: {what} {gain:.3g} within {self.epochs} epochs, less than {self.min_delta:.3g}"

    def state_dict(self) -> dict[str, Any]:
        """The values within the window, oldest first; None where one was not finite."""
        return {"values": list(self.values)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a saved state."""
        self.values = deque(state["values"], maxlen=self.values.maxlen)

    def _gain(self, values: list[float], *, less: bool) -> float:
        if self.variant == "range":
            return max(values) - min(values)
        before, *since = values
        return before - min(since) if less else max(since) - before
