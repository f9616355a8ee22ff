"""conv-shrink: unpadded convolutions until the image is as small as the target, then the flips."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from nnkit.errors import UsageError
from nnkit.models._checks import check_counts, check_sizes
from nnkit.models._output import Output, check_output, limit


class ConvShrink(nn.Module):
    """Unpadded convolutions that shrink 32×32 to 28×28: two of 3×3 or one of 5×5 (report A).

    A convolution treats every place alike, so it cannot flip: `forward` flips both axes at the end. Nor can
    it resize, as no place of the target lies differently between pixels: the edges stay wrong.
    (B, in_channels, h, w) to (B, target_channels, h', w') takes (h - h') / (kernel - 1) convolutions, and
    as many for the width; any other target size is a `UsageError`. The first convolution goes to the
    target's channels. Parameters, with C of them and k = kernel: C · (in_channels · k² + 1) for the first
    convolution and C · (C · k² + 1) for each further one; for 3 × 32×32 to 1 × 28×28, 28 + 10 = 38 with
    kernel 3 and 76 with kernel 5.
    """

    def __init__(
        self,
        *,
        kernel: Literal[3, 5] = 3,
        in_channels: int = 3,
        image_size: tuple[int, int] = (32, 32),
        target_channels: int = 1,
        target_size: tuple[int, int] = (28, 28),
        output: Output = "none",
    ) -> None:
        super().__init__()
        if kernel not in (3, 5):
            raise UsageError(
                f"expected kernel to be 3 or 5, but got kernel={kernel}", hint="Give kernel=3 or kernel=5."
            )
        check_counts(in_channels=in_channels, target_channels=target_channels)
        check_sizes(image_size=image_size, target_size=target_size)
        check_output(output)
        channels = [in_channels] + [target_channels] * _num_convs(kernel, image_size, target_size)
        self.output = output
        self.convs = nn.Sequential(
            *(nn.Conv2d(before, after, kernel) for before, after in pairwise(channels))
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Images (B, target_channels, h', w') of inputs (B, in_channels, h, w)."""
        return limit(torch.flip(self.convs(inputs), (2, 3)), self.output)


def _num_convs(kernel: int, image_size: tuple[int, int], target_size: tuple[int, int]) -> int:
    """How many unpadded convolutions lead from one size to the other; `UsageError` where none do."""
    rows, columns = (image_size[0] - target_size[0], image_size[1] - target_size[1])
    if rows != columns or rows < 1 or rows % (kernel - 1):
        (h, w), (height, width) = image_size, target_size
        raise UsageError(
            f"expected a target_size that unpadded {kernel}×{kernel} convolutions can reach from {h}×{w}, "
            f"but got {height}×{width}: each takes {kernel - 1} rows and as many columns",
            hint=f"Give a target that is a multiple of {kernel - 1} smaller on both axes alike, "
            "or a model that maps any size to any other, such as separable.",
        )
    return rows // (kernel - 1)
