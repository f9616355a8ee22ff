"""mnist-convnet: three convolutions with pooling and a linear layer, for images of one size."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from nnkit.errors import UsageError, quote
from nnkit.models._checks import check_counts, check_large_enough, check_sizes
from nnkit.ops import Conv2d


class MnistConvnet(nn.Module):
    """Three 3×3 convolutions 16-32-64, each with a 2×2 max pool and ReLU, then a linear layer (report D).

    `conv` picks torch's convolution or nnkit's own (`unfold`): one seed gives both the
    same weights. (B, in_channels, h, w) to logits (B, num_classes), for image_size (h, w) of at least 8×8.
    Parameters: 16 · (9 · in_channels + 1) + 23,136 + num_classes · (64 · (h // 8) · (w // 8) + 1), 29,066
    for 1 × 28×28 and ten classes.
    """

    def __init__(
        self,
        *,
        conv: Literal["torch", "unfold"] = "torch",
        in_channels: int = 1,
        image_size: tuple[int, int] = (28, 28),
        num_classes: int = 10,
    ) -> None:
        super().__init__()
        if conv not in ("torch", "unfold"):
            raise UsageError(
                f"expected conv to be torch or unfold, but got conv={quote(conv)}",
                hint="Give conv=torch, or conv=unfold for nnkit's own convolution.",
            )
        check_counts(in_channels=in_channels, num_classes=num_classes)
        check_sizes(image_size=image_size)
        height, width = image_size
        check_large_enough(height, width, minimum=8, why="three 2×2 pools leave nothing of it")
        layer = nn.Conv2d if conv == "torch" else Conv2d
        self.conv1 = layer(in_channels, 16, 3, padding=1)
        self.conv2 = layer(16, 32, 3, padding=1)
        self.conv3 = layer(32, 64, 3, padding=1)
        self.linear = nn.Linear(64 * (height // 8) * (width // 8), num_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (B, num_classes) of inputs (B, in_channels, h, w)."""
        features = inputs
        for conv in (self.conv1, self.conv2, self.conv3):
            # Pool before ReLU: the same values, as ReLU keeps order, for a quarter of the ReLU's work.
            features = F.relu(F.max_pool2d(conv(features), 2))
        logits: Tensor = self.linear(features.flatten(1))
        return logits
