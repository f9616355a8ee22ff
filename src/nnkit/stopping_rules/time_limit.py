"""time-limit: stop after so many minutes of training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from nnkit.errors import UsageError
from nnkit.types import EpochResult


class TimeLimit:
    """Stop after the first epoch with which the run has taken `minutes` or more.

    Adds up the epochs' `seconds`, so a resumed run counts what went before and not the pause. An epoch whose
    time is NaN counts as none. `UsageError` for minutes that are not a positive number.
    """

    def __init__(self, *, minutes: float) -> None:
        if not (math.isfinite(minutes) and minutes > 0):
            raise UsageError(
                f"expected minutes to be a positive number, but got minutes={minutes}",
                hint="Give, for example, time-limit:minutes=30.",
            )
        self.minutes = minutes
        self.seconds = 0.0

    def update(self, epoch: EpochResult) -> str | None:
        """The reason to stop after this epoch, or None to continue."""
        if epoch.seconds > 0:
            self.seconds += epoch.seconds
        if self.seconds < 60 * self.minutes:
            return None
        return f"{self.seconds / 60:.3g} minutes have passed, of at most {self.minutes:.3g}"

    def state_dict(self) -> dict[str, Any]:
        """The seconds taken so far."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a saved state."""
        self.seconds = float(state["seconds"])
