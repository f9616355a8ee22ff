"""The fidelity class of a surrogate of a pipeline: how far its images are from the real transforms'."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

Fidelity = Literal["exact", "half-level", "approximate"]
HALF_LEVEL = 0.5 / 255
ONE_LEVEL = 1 / 255


def fidelity_class(metrics: Mapping[str, Any], num_values: int) -> Fidelity:
    """The class of transform metrics over images of `num_values` values each.

    - `exact`: every value has the reference's 8-bit level, but for values whose reference lies within 1e-5
      of a boundary between two levels, where float arithmetic in another order may fall to either; and no
      value is a level or more away, also outside [0, 1], where 8-bit values do not tell.
    - `half-level`: the mean over images of the summed absolute error is under half a level per value, the
      threshold of report A.
    - `approximate`: anything else, and outputs that are not numbers.
    """
    levels = metrics["levels"]
    agree = levels["differing"] == levels["near_boundary"] and math.isfinite(metrics["mae_sum"])
    if agree and metrics["max_abs_error"] < ONE_LEVEL:
        return "exact"
    return "half-level" if metrics["mae_sum"] < HALF_LEVEL * num_values else "approximate"
