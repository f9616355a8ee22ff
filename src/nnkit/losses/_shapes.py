"""One check for all losses that compare images."""

from __future__ import annotations

from torch import Tensor


def check_same_shape(output: Tensor, target: Tensor) -> None:
    """`ValueError` where shapes differ: torch would broadcast one channel against three."""
    if output.shape != target.shape:
        raise ValueError(
            "expected output and target of one shape, "
            f"but got {tuple(output.shape)} and {tuple(target.shape)}"
        )
