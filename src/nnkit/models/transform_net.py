"""transform-net: resize, mix the channels, flip: the pipeline itself, with learned luma weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nnkit.models._checks import check_counts, check_sizes
from nnkit.models._output import Output, check_output, limit


class TransformNet(nn.Module):
    """Bilinear resize without antialiasing, 1×1 convolution without bias, both flips, clamp (report B).

    (B, in_channels, any height, any width) to (B, target_channels, h', w') for target_size (h', w').
    Parameters: in_channels · target_channels, 3 for three channels to one.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        target_channels: int = 1,
        target_size: tuple[int, int] = (28, 28),
        output: Output = "clamp",
    ) -> None:
        super().__init__()
        check_counts(in_channels=in_channels, target_channels=target_channels)
        check_sizes(target_size=target_size)
        check_output(output)
        self.target_size = target_size
        self.output = output
        self.conv = nn.Conv2d(in_channels, target_channels, kernel_size=1, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Images (B, target_channels, h', w') of inputs (B, in_channels, h, w)."""
        resized = F.interpolate(
            inputs, self.target_size, mode="bilinear", align_corners=False, antialias=False
        )
        return limit(torch.flip(self.conv(resized), (2, 3)), self.output)
