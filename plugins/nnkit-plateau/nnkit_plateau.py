"""A stopping rule that fits a line through a metric's last epochs and asks whether it still improves."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

from nnkit.types import EpochResult


class Plateau:
    """Stop once it is no longer likely that `metric` improves by more than `min_slope` per epoch.

    A straight line is fitted by least squares through the last `epochs` values, with its slope's standard
    error from the residuals (epochs - 2 degrees of freedom). The confidence that the true slope, counted as
    improvement, is above `min_slope` is T((slope - min_slope) / error), T being Student's distribution, taken
    from the normal one as Hill (1970, CACM algorithm 395) has it. The rule stops when this
    confidence is below 1 - `confidence`: at 0.9, when it is surer than 9 to 1 that the metric improves by no
    more than `min_slope`. Values on an exact line leave no doubt: their slope decides, and equal ones stop.

    The epoch says whether less of the metric is better. A value that is NaN or infinite counts as an epoch
    without a value; the window is then not full, and NaN alone never stops. An epoch that lacks the metric
    stops at once and says so. `epochs` is at least 4, `min_slope` at least 0, `confidence` in [0.5, 1).
    """

    stops_on_nan = False

    def __init__(
        self,
        *,
        metric: str = "val_loss",
        epochs: int = 8,
        min_slope: float = 0.0,
        confidence: float = 0.8,
    ) -> None:
        if epochs < 4:
            raise ValueError(f"epochs is {epochs}, it must be at least 4: a slope's error needs that many")
        if not (math.isfinite(min_slope) and min_slope >= 0):
            raise ValueError(f"min_slope is {min_slope}, it must be 0 or more")
        if not 0.5 <= confidence < 1:
            raise ValueError(f"confidence is {confidence}, it must be at least 0.5 and below 1")
        self.metric = metric
        self.min_slope = min_slope
        self.confidence = confidence
        self.values: deque[float | None] = deque(maxlen=epochs)

    def update(self, epoch: EpochResult) -> str | None:
        """The reason to stop after this epoch, or None to go on."""
        value = epoch.metrics.get(self.metric)
        if value is None:
            return f'no metric named "{self.metric}"; there are ' + (
                ", ".join(sorted(epoch.metrics)) or "none"
            )
        self.values.append(value if math.isfinite(value) else None)
        values = [value for value in self.values if value is not None]
        if len(values) != self.values.maxlen:
            return None
        slope, error = fit_slope(values)
        gain = -slope if epoch.lower_is_better(self.metric) else slope
        still = confidence_above(gain - self.min_slope, error, len(values) - 2)
        if still >= 1 - self.confidence:
            return None
        return (
            f"{self.metric} improves by {gain:.3g} ± {error:.2g} per epoch over {len(values)} epochs: "
            f"more than {self.min_slope:g} with a confidence of {still:.2f} only"
        )

    def state_dict(self) -> dict[str, Any]:
        """The last values, oldest first; None where one was not finite."""
        return {"values": list(self.values)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a remembered state."""
        self.values = deque(state["values"], maxlen=self.values.maxlen)


def fit_slope(values: list[float]) -> tuple[float, float]:
    """Least squares' slope per epoch and its standard error, of three values or more."""
    num = len(values)
    # Scaled, because squares of huge values overflow and those of tiny ones vanish.
    scale = max(abs(value) for value in values) or 1.0
    times = [at - (num - 1) / 2 for at in range(num)]
    ys = [value / scale for value in values]
    mean = math.fsum(ys) / num
    spread = math.fsum(time * time for time in times)
    slope = math.fsum(time * (y - mean) for time, y in zip(times, ys, strict=True)) / spread
    residuals = math.fsum((y - mean - slope * time) ** 2 for time, y in zip(times, ys, strict=True))
    return slope * scale, math.sqrt(residuals / (num - 2) / spread) * scale


def confidence_above(excess: float, error: float, degrees: int) -> float:
    """The confidence that a slope measured `excess` above a bound, ± `error`, is truly above it.

    One-sided, by Student's t with `degrees` of freedom, brought to a normal quantile (Hill 1970); within
    0.01 of the exact value from 2 degrees of freedom on.
    """
    if error == 0:
        return float(excess > 0)
    t = abs(excess) / error
    if not math.isfinite(t):
        return float(excess > 0)
    a = degrees - 0.5
    b = 48 * a * a
    z2 = a * math.log1p(t * t / degrees)
    z = math.sqrt(z2)
    z += z * (z2 + 3) / b - z * (4 * z2**3 + 33 * z2**2 + 240 * z2 + 855) / (10 * b * (b + 0.8 * z2**2 + 100))
    share = NormalDist().cdf(z)
    return share if excess > 0 else 1 - share
