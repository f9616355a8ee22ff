"""half-level: stop when the mean absolute error is under half an 8-bit value per pixel."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from nnkit.errors import UsageError
from nnkit.stopping_rules._metric import no_such_metric
from nnkit.types import EpochResult

METRIC = "val_mae_sum"


class HalfLevel:
    """Stop when `val_mae_sum` is under `limit`: the mean over images of the summed absolute error (report A).

    `limit` is 0.5/255 × the values of a target, 1.537 for 1 × 28×28: rounded to 8 bits, a pixel is then
    right on average. NaN never stops. An epoch without the metric stops at once: the task makes no images.
    `UsageError` for a target without pixels.
    """

    metric = METRIC

    def __init__(self, *, target_channels: int = 1, target_size: tuple[int, int] = (28, 28)) -> None:
        if target_channels < 1 or len(target_size) != 2 or min(target_size) < 1:
            raise UsageError(
                "expected target_channels and target_size to be at least 1, "
                f"but got {target_channels} and {tuple(target_size)}",
                hint="Leave them out: the dataset fills them in.",
            )
        self.num_values = target_channels * prod(target_size)
        self.limit = 0.5 / 255 * self.num_values

    def update(self, epoch: EpochResult) -> str | None:
        """The reason to stop after this epoch, or None to continue."""
        value = epoch.metrics.get(METRIC)
        if value is None:
            return no_such_metric(METRIC, epoch)
        if value < self.limit:
            levels = f"half an 8-bit value for each of {self.num_values} values"
            return f"{METRIC} is {value:.4g}, below {self.limit:.4g}: {levels}"
        return None

    def state_dict(self) -> dict[str, Any]:
        """Empty: each epoch is judged by itself."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """There is no state to restore."""
