"""Shared by the rules: reading a metric, and checks of settings."""

from __future__ import annotations

import math

from nnkit.errors import UsageError
from nnkit.types import EpochResult


def no_such_metric(metric: str, epoch: EpochResult) -> str:
    """The reason to stop where an epoch lacks the metric: a rule that waits for it would never stop."""
    return f'no metric named "{metric}"; there are ' + (", ".join(sorted(epoch.metrics)) or "none")


def check_min_delta(min_delta: float) -> None:
    """`UsageError` unless it is 0 or a positive number."""
    if not (math.isfinite(min_delta) and min_delta >= 0):
        raise UsageError(
            f"expected min_delta to be 0 or a positive number, but got min_delta={min_delta}",
            hint="Give the least improvement that counts, such as min_delta=1e-4, or 0 for any.",
        )
