"""Shared by the augmentations: checks of settings."""

from __future__ import annotations

import math

from nnkit.errors import UsageError


def check_range(name: str, value: float, low: float, high: float) -> None:
    """`UsageError` unless `low` ≤ value ≤ `high`."""
    if not (math.isfinite(value) and low <= value <= high):
        raise UsageError(f"expected {name} to be from {low:g} to {high:g}, but got {name}={value:g}")
