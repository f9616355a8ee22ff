"""Durations as text: "30s", "5min", "1.5h", "30d" read into seconds, and seconds in their largest unit."""

from __future__ import annotations

import re

UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
"""Seconds of each unit, the smallest first."""
PATTERN = r"([1-9][0-9]{0,8}(\.[0-9]{1,9})?|0\.0{0,8}[1-9][0-9]{0,8})(s|min|h|d|w)"
"""What `seconds` takes: a number above zero and a unit, without a space between them."""


def seconds(text: str) -> float:
    """The seconds of a duration that matches `PATTERN`; `ValueError` for any other text."""
    match = re.fullmatch(PATTERN, text)
    if match is None:
        raise ValueError(f"expected a duration such as 30s, 5min, 1h, 30d or 2w, but got {text!r}")
    return float(match[1]) * UNITS[match[3]]


def largest_unit(seconds: float) -> str:
    """A duration in the largest unit of which it has two: "45 s", "3 h", "12 d"."""
    fitting = [unit for unit, size in UNITS.items() if seconds >= 2 * size]
    unit = fitting[-1] if fitting else "s"
    return f"{seconds / UNITS[unit]:.0f} {unit}"
