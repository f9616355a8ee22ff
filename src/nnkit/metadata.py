"""Malformed metadata of one distribution does not break imports of others.

torch, triton and pydantic search the entry points of everything that is installed when they are imported. The
standard library fails on the first distribution whose `entry_points.txt` is not UTF-8 or has a line without
"=". `nnkit list` and `nnkit doctor` name such a distribution.
"""

from __future__ import annotations

import importlib.metadata


def tolerate_malformed_entry_points() -> None:
    """From here on, a distribution whose entry points cannot be read counts as one without any."""
    read = importlib.metadata.Distribution.entry_points.fget  # type: ignore[attr-defined]

    def entry_points(dist: importlib.metadata.Distribution) -> importlib.metadata.EntryPoints:
        try:
            found: importlib.metadata.EntryPoints = read(dist)
            return found
        except (ValueError, TypeError, OSError):
            return importlib.metadata.EntryPoints(())

    importlib.metadata.PathDistribution.entry_points = property(entry_points)  # type: ignore[assignment]
