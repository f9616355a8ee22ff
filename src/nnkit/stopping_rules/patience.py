"""patience: stop after some epochs in a row without improvement."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from nnkit.errors import UsageError
from nnkit.stopping_rules._metric import check_min_delta, no_such_metric
from nnkit.types import EpochResult


class Patience:
    """Stop after `patience` epochs in a row in which `metric` improved by less than `min_delta` (report B).

    An improvement is measured against the last epoch that was one; with `min_delta=0` any counts. The
    epoch says whether less is better. NaN or an infinity is never an improvement, so it uses up
    patience. A metric that the epoch lacks stops at once. `UsageError` for a patience below 1 or a
    min_delta that is negative or no number.
    """

    def __init__(self, *, metric: str = "val_loss", patience: int = 4, min_delta: float = 0.0) -> None:
        if patience < 1:
            raise UsageError(
                f"expected patience to be at least 1, but got patience={patience}",
                hint="Give the number of epochs to wait for an improvement, such as patience=4.",
            )
        check_min_delta(min_delta)
        self.metric = metric
        self.patience = patience
        self.min_delta = min_delta
        self.best: float | None = None
        self.waited = 0

    def update(self, epoch: EpochResult) -> str | None:
        """The reason to stop after this epoch, or None to continue."""
        value = epoch.metrics.get(self.metric)
        if value is None:
            return no_such_metric(self.metric, epoch)
        if self._improves(value, less=epoch.lower_is_better(self.metric)):
            self.best, self.waited = value, 0
            return None
        self.waited += 1
        if self.waited < self.patience:
            return None
        epochs = "1 epoch" if self.waited == 1 else f"{self.waited} epochs"
        best = "no finite value yet" if self.best is None else f"{self.best:.6g}"
        return f"{self.metric} has not improved for {epochs}: best {best}, now {value:.6g}"

    def state_dict(self) -> dict[str, Any]:
        """The value to improve on, and the epochs waited."""
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a saved state."""
        self.best, self.waited = state["best"], state["waited"]

    def _improves(self, value: float, *, less: bool) -> bool:
        if not math.isfinite(value):
            return False
        if self.best is None:
            return True
        gain = self.best - value if less else value - self.best
        return gain > 0 and gain >= self.min_delta
