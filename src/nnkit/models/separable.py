"""separable: mix the colours, then one matrix for the rows and one for the columns."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nnkit.models._checks import check_counts, check_sizes
from nnkit.models._output import Output, check_output, limit


class Separable(nn.Module):
    """out = A · (w · x) · Bᵀ: resizing, flipping and graying are linear and act on one axis each.

    So the reference pipeline of reports A to C is of this form exactly, with A and B each a resize and a
    flip and w the grey weights. Parameters: `channels` w (target_channels, in_channels), `rows` A (h', h)
    and `cols` B (w', w), 3 + 896 + 896 = 1,795 for 3 × 32×32 to 1 × 28×28.
    (B, in_channels, h, w) to (B, target_channels, h', w') for image_size (h, w) and target_size (h', w').
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        image_size: tuple[int, int] = (32, 32),
        target_channels: int = 1,
        target_size: tuple[int, int] = (28, 28),
        output: Output = "none",
    ) -> None:
        super().__init__()
        check_counts(in_channels=in_channels, target_channels=target_channels)
        check_sizes(image_size=image_size, target_size=target_size)
        check_output(output)
        self.output = output
        self.channels = nn.Parameter(torch.empty(target_channels, in_channels))
        self.rows = nn.Parameter(torch.empty(target_size[0], image_size[0]))
        self.cols = nn.Parameter(torch.empty(target_size[1], image_size[1]))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start at the mean of the channels and with matrices that keep a grey image about as bright.

        Each matrix is the mean over its axis plus noise: without the mean, the product of two random
        matrices starts as noise of either sign, and the clamp would stop the gradient of half of it.
        """
        nn.init.constant_(self.channels, 1 / self.channels.shape[1])
        for matrix in (self.rows, self.cols):
            size = matrix.shape[1]
            nn.init.normal_(matrix, mean=1 / size, std=1 / size)

    def forward(self, inputs: Tensor) -> Tensor:
        """Images (B, target_channels, h', w') of inputs (B, in_channels, h, w)."""
        batch, _, height, width = inputs.shape
        mixed = (self.channels @ inputs.flatten(2)).view(batch, -1, height, width)
        return limit(self.rows @ (mixed @ self.cols.T), self.output)
