"""conv4: four 4×4 convolutions, each of which makes the image one row and one column smaller."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from nnkit.errors import UsageError
from nnkit.models._checks import check_counts, check_sizes
from nnkit.models._output import Output, check_output, limit

SHRINK = 4
"""Rows and columns that the four convolutions take in all."""


class Conv4(nn.Module):
    """Four 4×4 convolutions, padding 1: ReLU after the first, ReLU and dropout after the next two (report C).

    (B, in_channels, h, w) to (B, target_channels, h', w') for target_size (h', w'). The convolutions lead
    from 32×32 to 28×28; inputs that are not 4 rows and columns larger than the target are first resized to
    that, bilinearly. Parameters, with c = width: c · (16 · in_channels + 1) + 2c · (16c + 1) +
    target_channels · (16c + 1), 135,361 for 3 channels to 1 at width=64.
    """

    def __init__(
        self,
        *,
        width: int = 64,
        dropout: float = 0.2,
        in_channels: int = 3,
        target_channels: int = 1,
        target_size: tuple[int, int] = (28, 28),
        output: Output = "none",
    ) -> None:
        super().__init__()
        check_counts(width=width, in_channels=in_channels, target_channels=target_channels)
        check_sizes(target_size=target_size)
        check_output(output)
        if not 0 <= dropout < 1:
            raise UsageError(
                f"expected dropout to be at least 0 and below 1, but got dropout={dropout}",
                hint="Give dropout=0.2, or dropout=0 for none.",
            )
        self.inner_size = (target_size[0] + SHRINK, target_size[1] + SHRINK)
        self.output = output
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, width, 4, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 4, padding=1),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Conv2d(width, width, 4, padding=1),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Conv2d(width, target_channels, 4, padding=1),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Images (B, target_channels, h', w') of inputs (B, in_channels, h, w)."""
        if tuple(inputs.shape[2:]) != self.inner_size:
            inputs = F.interpolate(inputs, self.inner_size, mode="bilinear", align_corners=False)
        return limit(self.layers(inputs), self.output)
