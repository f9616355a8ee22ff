"""The output function of transform models: none, clamp or sigmoid."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from nnkit.errors import UsageError, did_you_mean, quote

Output = Literal["none", "clamp", "sigmoid"]


def check_output(output: str) -> None:
    """`UsageError` for an output that `limit` does not have."""
    if output not in ("none", "clamp", "sigmoid"):
        raise UsageError(
            f"expected output to be none, clamp or sigmoid, but got output={quote(output)}",
            hint=did_you_mean(str(output), ("none", "clamp", "sigmoid")),
        )


def limit(images: Tensor, output: Output) -> Tensor:
    """`images` as they are, clamped to [0, 1], or through a sigmoid; any shape.

    A clamp passes the gradient of values between 0 and 1 and stops that of values outside (at 0 and 1
    themselves torch's versions differ): a pixel that starts outside for every image never learns.
    """
    if output == "clamp":
        return images.clamp(0, 1)
    return images.sigmoid() if output == "sigmoid" else images
