"""The metrics of a split, by the data's task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from pydantic import Field

from nnkit.results.base import Number, Part

FidelityClass = Literal["exact", "half-level", "approximate"]
ByResolution = Mapping[str, Number]
"""A value for each original resolution, "32x32": height × width; of many, for each range of them by area,
"32x32 to 64x48"."""


class Classification(Part):
    """Mean loss and share of right answers; by resolution, and the images of each, where these differ."""

    loss: Number
    accuracy: Number
    accuracy_by_resolution: ByResolution | None = None
    loss_by_resolution: ByResolution | None = None
    images_by_resolution: Mapping[str, int] | None = None


class Levels(Part):
    """Pixels whose 8-bit value differs from the reference's; of them, those near a rounding boundary."""

    differing: int
    near_boundary: int


class Fidelity(Part):
    """The fidelity class, None where nothing was measured, and the errors that it is judged by."""

    class_: FidelityClass | None = Field(validation_alias="class", serialization_alias="class")
    max_abs_error: Number
    mae_sum: Number


class Transform(Part):
    """How far images are from their targets; `psnr` in dB, `mae_sum` summed over an image's values."""

    loss: Number
    mse: Number
    mae_sum: Number
    max_abs_error: Number
    psnr: Number
    cosine_accuracy: Number
    levels: Levels
    fidelity: Fidelity


SplitMetrics: TypeAlias = Classification | Transform
