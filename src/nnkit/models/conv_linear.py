"""conv-linear: mix the channels of each pixel, then map all pixels to all pixels."""

from __future__ import annotations

from math import prod
from typing import Any

from torch import Tensor, nn

from nnkit.models._checks import check_counts, check_sizes
from nnkit.models._least_squares import notes_on, notes_on_residual, require_linear, set_weights
from nnkit.models._output import Output, check_output, limit
from nnkit.surrogates.least_squares import RIDGE
from nnkit.surrogates.variable_projection import fit_mixed_linear
from nnkit.types import Size


class ConvLinear(nn.Module):
    """A 1×1 convolution to the target's channels and one linear layer over the pixels of each (report A).

    (B, in_channels, h, w) to (B, target_channels, h', w') for image_size (h, w) and target_size (h', w').
    Parameters: target_channels · (in_channels + 1) + h'w' · (hw + 1), 803,604 for 3 × 32×32 to 1 × 28×28.
    The target's channels share the linear layer. `fit_least_squares` asks for two images per pixel:
    2,050 images for 32×32.
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
        self.target_size: Size = target_size
        self.output = output
        self.conv = nn.Conv2d(in_channels, target_channels, kernel_size=1)
        self.linear = nn.Linear(prod(image_size), prod(target_size))
        self.least_squares_images = 2 * (self.linear.in_features + 1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Images (B, target_channels, h', w') of inputs (B, in_channels, h, w)."""
        pixels = self.linear(self.conv(inputs).flatten(2))
        return limit(pixels.unflatten(2, self.target_size), self.output)

    def fit_least_squares(self, inputs: Tensor, targets: Tensor, *, ridge: float = RIDGE) -> dict[str, Any]:
        """Fit float images (N, C, h, w) to (N, C', h', w') on the CPU; `UsageError` with a sigmoid."""
        require_linear(self.output)
        assert self.conv.bias is not None
        found = fit_mixed_linear(inputs.flatten(2), targets.flatten(2), ridge=ridge)
        set_weights(
            (self.conv.weight, found.channels),
            (self.conv.bias, found.channel_bias),
            (self.linear.weight, found.weight),
            (self.linear.bias, found.bias),
        )
        notes = notes_on(len(inputs), self.linear.in_features + 1, per="target pixel")
        notes += notes_on_residual(found.residual)
        return {"iterations": found.iterations, "residual": found.residual, "notes": notes}
