"""How far a surrogate's images are from those of the pipeline: its fidelity class, and PSNR."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

Fidelity = Literal["exact", "half-level", "approximate"]
HALF_LEVEL = 0.5 / 255
ONE_LEVEL = 1 / 255


def psnr(mse: float) -> float:
    """The peak signal-to-noise ratio in dB of a mean squared error, for values in [0, 1]; infinite for 0."""
    return -10 * math.log10(mse) if mse > 0 else math.inf if mse == 0 else math.nan


def fidelity_class(metrics: Mapping[str, Any], num_values: int) -> Fidelity:
    """The class of transform metrics over images of `num_values` values each.

    - `exact`: every value has the reference's 8-bit value, except where the reference lies within 1e-5 of a
      rounding boundary, where floating-point arithmetic in another order may round either way; and every
      error is below 1/255, also outside [0, 1], where 8-bit values are clamped.
    - `half-level`: the mean over images of the summed absolute error is under half an 8-bit value per value,
      the threshold of report A.
    - `approximate`: anything else, and outputs that are not finite.
    """
    levels = metrics["levels"]
    agree = levels["differing"] == levels["near_boundary"] and math.isfinite(metrics["mae_sum"])
    if agree and metrics["max_abs_error"] < ONE_LEVEL:
        return "exact"
    return "half-level" if metrics["mae_sum"] < HALF_LEVEL * num_values else "approximate"
