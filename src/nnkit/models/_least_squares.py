"""Helpers for models with a least-squares fit: settings, weights set in place, a note on too few images."""

from __future__ import annotations

import torch
from torch import Tensor

from nnkit.errors import NnkitError, UsageError
from nnkit.models._output import Output

LARGE_RESIDUAL = 0.01


def require_linear(output: Output) -> None:
    """`UsageError` for a sigmoid; a clamp changes only what lies outside [0, 1], where no target is."""
    if output == "sigmoid":
        raise UsageError(
            "output=sigmoid: least squares fits the weights to the targets, and the sigmoid comes after them",
            hint="set output=none or clamp, or train with --solver gradient",
        )


@torch.no_grad()
def set_weights(*pairs: tuple[Tensor, Tensor]) -> None:
    """Copy into each (parameter, value)."""
    for parameter, value in pairs:
        parameter.copy_(value.reshape(parameter.shape))


def notes_on(num_images: int, num_unknowns: int, *, per: str) -> list[str]:
    """What a fit of so many unknowns per target value or pixel should say of the images that it had."""
    if num_images >= num_unknowns:
        return []
    return [f"{num_images:,} images for {num_unknowns:,} unknowns per {per}: the fit is not determined"]


def notes_on_residual(residual: float) -> list[str]:
    """What a fit should say of the error that is left: its root over that of the targets."""
    if residual < LARGE_RESIDUAL:
        return []
    return [f"the fit leaves a relative error of {residual:.1%}: no network of this form does what is asked"]


def require_converged(converged: bool, residual: float, rounds: int, num_images: int) -> None:
    """`NnkitError` for a fit whose error was still falling: its weights mean little."""
    if not converged:
        raise NnkitError(
            f"the fit did not converge: after {rounds} rounds on {num_images} images its relative error is "
            f"{residual:.2g} and still falls",
            hint="give it more training images (a larger --limit), or train by gradient",
        )
