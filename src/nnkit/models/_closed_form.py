"""What models with a closed-form fit share: no sigmoid, weights set in place, a note on too few images."""

from __future__ import annotations

import torch
from torch import Tensor

from nnkit.errors import UsageError
from nnkit.models._output import Output


def require_linear(output: Output) -> None:
    """`UsageError` for a sigmoid; a clamp changes only what lies outside [0, 1], where no target is."""
    if output == "sigmoid":
        raise UsageError(
            "output=sigmoid: a closed form fits the weights to the targets, and the sigmoid comes after them",
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
