"""mlp-bottleneck: two linear layers with a narrow hidden layer between them."""

from __future__ import annotations

from math import prod

from torch import Tensor, nn

from nnkit.models._checks import check_counts, check_sizes
from nnkit.models._output import Output, check_output, limit


class MlpBottleneck(nn.Module):
    """Two linear layers with `hidden` values between them and a sigmoid at the end (report C's MLP).

    As in the report, there is no activation between the layers: except for the sigmoid, it is a linear map
    of rank `hidden`.
    (B, in_channels, h, w) to (B, target_channels, h', w') for image_size (h, w) and target_size (h', w').
    Parameters, with i = in_channels · hw and o = target_channels · h'w': hidden · (i + 1) + o · (hidden + 1),
    494,480 for 3 × 32×32 to 1 × 28×28 at hidden=128.
    """

    def __init__(
        self,
        *,
        hidden: int = 128,
        in_channels: int = 3,
        image_size: tuple[int, int] = (32, 32),
        target_channels: int = 1,
        target_size: tuple[int, int] = (28, 28),
        output: Output = "sigmoid",
    ) -> None:
        super().__init__()
        check_counts(hidden=hidden, in_channels=in_channels, target_channels=target_channels)
        check_sizes(image_size=image_size, target_size=target_size)
        check_output(output)
        self.target_shape = (target_channels, *target_size)
        self.output = output
        self.squeeze = nn.Linear(in_channels * prod(image_size), hidden)
        self.expand = nn.Linear(hidden, prod(self.target_shape))

    def forward(self, inputs: Tensor) -> Tensor:
        """Images (B, target_channels, h', w') of inputs (B, in_channels, h, w)."""
        pixels = self.expand(self.squeeze(inputs.flatten(1)))
        return limit(pixels.unflatten(1, self.target_shape), self.output)
