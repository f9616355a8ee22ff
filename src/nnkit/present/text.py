"""Formats numbers and names: percentages, counts, durations, clean text.

What cannot be computed, NaN or None, is written "–".
"""

from __future__ import annotations

import math
import re
import sys
import unicodedata

MISSING = "–"

_ESCAPE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_SHARES = ("accuracy", "precision", "recall")
_TIMES = ("seconds", "_s")


def is_missing(value: object) -> bool:
    """Whether a value is None or NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def percent(share: float | None) -> str:
    """A share in [0, 1] as "98.76 %"."""
    return MISSING if share is None or math.isnan(share) else f"{100 * share:.2f} %"


def count(number: float | None) -> str:
    """A whole number with thousands separators: "29,066"."""
    return MISSING if number is None or math.isnan(number) else f"{number:,.0f}"


def counted(number: float, thing: str) -> str:
    """A count with its noun: "1 thread", "2 threads"."""
    return f"{count(number)} {thing}{'' if number == 1 else 's'}"


def byte_count(number: int) -> str:
    """Bytes in the largest unit of which there is at least one: "512 B", "64.0 KiB", "1.2 GiB"."""
    if number < 1024:
        return f"{number} B"
    value, units = number / 1024, ["KiB", "MiB", "GiB", "TiB"]
    while value >= 1023.95 and len(units) > 1:
        value /= 1024
        del units[0]
    return f"{value:,.1f} {units[0]}"


def number(value: float | None) -> str:
    """A loss or error with four significant digits: "0.1230", "1235", "1.230e-06"; from 10,000 on a count."""
    if value is None or math.isnan(value):
        return MISSING
    if 9999.5 <= abs(value) < 1e15:
        return count(value)
    return "0" if value == 0 else f"{value:#.4g}".rstrip(".")


def printable(text: str) -> str:
    """The text without escapes and other control characters, which names and files may hold."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text
    )


def say(text: str) -> None:
    """Print a line on stderr."""
    print(printable(text), file=sys.stderr, flush=True)


def duration(seconds: float | None) -> str:
    """A duration: "340 ms", "12.3 s", "2 min 05 s", "1 h 03 min"."""
    if seconds is None or math.isnan(seconds):
        return MISSING
    if not math.isfinite(seconds) or seconds < 0:
        return f"{number(seconds)} s"
    if seconds < 0.9995:
        return f"{1000 * seconds:.3g} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def metric(name: str, value: float | None) -> str:
    """A metric as its name asks: shares in percent, times as durations, whole numbers as counts."""
    if value is None or is_missing(value):
        return MISSING
    if any(word in name for word in _SHARES):
        return percent(value)
    if name.endswith(_TIMES) and not name.endswith("per_s"):
        return duration(value)
    if isinstance(value, int) or name.endswith("per_s"):
        return count(value)
    return f"{value:.2f} dB" if name.endswith("psnr") else number(value)


def interval(name: str, ends: tuple[float, float] | None) -> str:
    """The interval of a metric, its unit once: "98.10 to 99.20 %"."""
    if ends is None:
        return MISSING
    low, high = (metric(name, end) for end in ends)
    number, _, unit = low.partition(" ")
    return f"{number if unit and high.endswith(unit) else low} to {high}"


def clean(text: object) -> str:
    """Text on one line that any terminal, font and encoding can take: no escapes, no control characters."""
    plain = _ESCAPE.sub("", str(text)).encode("utf-8", "replace").decode("utf-8")
    return "".join(" " if unicodedata.category(letter)[0] in "CZ" else letter for letter in plain).strip()


def shorten(text: object, limit: int) -> str:
    """Clean text of at most `limit` characters, its middle cut out: names often differ at their end."""
    cleaned = clean(text)
    if len(cleaned) <= limit:
        return cleaned
    tail = (limit - 1) // 2
    return f"{cleaned[: limit - 1 - tail].rstrip()}…{cleaned[len(cleaned) - tail :].lstrip()}"
