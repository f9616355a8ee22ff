"""Checks of settings that several models share."""

from __future__ import annotations

from nnkit.errors import UsageError
from nnkit.types import Size


def check_counts(**counts: int) -> None:
    """`UsageError` for a count below 1, by its name."""
    for name, count in counts.items():
        if count < 1:
            raise UsageError(
                f"expected {name} to be at least 1, but got {name}={count}", hint=f"Give {name}=1 or more."
            )


def check_sizes(**sizes: Size) -> None:
    """`UsageError` for a size that is not a height and a width of at least one pixel, by its name."""
    for name, size in sizes.items():
        if len(size) != 2 or min(size) < 1:
            raise UsageError(
                f"expected {name} to be a height and a width of at least 1, but got {name}={tuple(size)}",
                hint=f"Give, for example, {name}=[28, 28].",
            )


def check_large_enough(height: int, width: int, *, minimum: int, why: str) -> None:
    """`UsageError` for an image of fewer rows or columns than `minimum`; `why` ends the message."""
    if min(height, width) < minimum:
        raise UsageError(
            f"expected images of at least {minimum}×{minimum} pixels, but got {height}×{width}: {why}",
            hint=f"Give larger images, or resize them to at least {minimum}×{minimum}.",
        )
