"""linear: one linear layer from every value of the image to every value of the target."""

from __future__ import annotations

from math import prod
from typing import Any

from torch import Tensor, nn

from nnkit.models._checks import check_counts, check_sizes
from nnkit.models._least_squares import notes_on, require_linear, set_weights
from nnkit.models._output import Output, check_output, limit
from nnkit.surrogates.least_squares import RIDGE, fit_linear


class Linear(nn.Module):
    """One linear layer over all channels and pixels: report A's expensive one.

    (B, in_channels, h, w) to (B, target_channels, h', w') for image_size (h, w) and target_size (h', w').
    Parameters: target_channels · h'w' · (in_channels · hw + 1), 2,409,232 for 3 × 32×32 to 1 × 28×28.
    `fit_least_squares` asks for 1.3 images per value of an image: 3,994 for 3 × 32×32.
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
        self.target_shape = (target_channels, *target_size)
        self.output = output
        self.linear = nn.Linear(in_channels * prod(image_size), prod(self.target_shape))
        # Measured on photographs: twice as many cost twice the time and change no digit of the test error.
        self.least_squares_images = int(1.3 * (self.linear.in_features + 1))

    def forward(self, inputs: Tensor) -> Tensor:
        """Images (B, target_channels, h', w') of inputs (B, in_channels, h, w)."""
        return limit(self.linear(inputs.flatten(1)).unflatten(1, self.target_shape), self.output)

    def fit_least_squares(self, inputs: Tensor, targets: Tensor, *, ridge: float = RIDGE) -> dict[str, Any]:
        """Ridge regression on float images (N, ...) and (N, ...), on the CPU; `UsageError` with a sigmoid."""
        require_linear(self.output)
        weight, bias = fit_linear(inputs.flatten(1), targets.flatten(1), ridge=ridge)
        set_weights((self.linear.weight, weight), (self.linear.bias, bias))
        notes = notes_on(len(inputs), self.linear.in_features + 1, per="target value")
        return {"iterations": 1, "notes": notes}
