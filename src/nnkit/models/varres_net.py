"""varres-net: three convolutions and a global pooling, for images of any size."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from nnkit.models._checks import check_counts, check_large_enough
from nnkit.models._pooling import as_module, check_takes_mask, halved, num_features
from nnkit.types import Pooling, nested


class VarresNet(nn.Module):
    """Convolutions 16-32-width with 2×2 max pools and ReLU, global pooling, linear (report D).

    `width` is the number of channels of the last convolution; `pooling` makes features of each channel.
    (B, in_channels, any height, any width), both at least 8, to logits (B, num_classes). With a mask, a
    padded batch gives what each of its images gives alone. Parameters, with F = width for max pooling:
    16 · (9 · in_channels + 1) + 4,640 + width · 289 + num_classes · (F + 1); for one channel and ten
    classes, 23,946 at width=64, 29,029 at 81, 29,328 at 82.
    """

    def __init__(
        self,
        *,
        width: int = 64,
        pooling: Pooling = nested("max"),
        in_channels: int = 1,
        num_classes: int = 10,
    ) -> None:
        super().__init__()
        check_counts(width=width, in_channels=in_channels, num_classes=num_classes)
        self.conv1 = nn.Conv2d(in_channels, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.conv3 = nn.Conv2d(32, width, 3, padding=1)
        self.pooling = as_module(pooling)
        self.linear = nn.Linear(num_features(self.pooling, width), num_classes)

    def forward(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits (B, num_classes) of inputs (B, in_channels, H, W).

        `mask`, bool (B, 1, H, W), is true where there is image: a rectangle of at least 8×8, padded at the
        bottom and right.
        A smaller one gives values that are not finite; to check for it here would cost a synchronisation.
        """
        check_large_enough(*inputs.shape[2:], minimum=8, why="three 2×2 pools leave nothing of it")
        features = self._padded(inputs, mask) if mask is not None else self._plain(inputs)
        logits: Tensor = self.linear(features)
        return logits

    def _plain(self, inputs: Tensor) -> Tensor:
        features = inputs
        for conv in (self.conv1, self.conv2, self.conv3):
            # Pool before ReLU: the same values, as ReLU keeps order, for a quarter of the ReLU's work.
            features = F.relu(F.max_pool2d(conv(features), 2))
        pooled: Tensor = self.pooling(features)
        return pooled

    def _padded(self, inputs: Tensor, mask: Tensor) -> Tensor:
        """Zero what is outside the image before each convolution: its own zero padding, as for one alone."""
        check_takes_mask(self.pooling)
        features = inputs
        for conv in (self.conv1, self.conv2, self.conv3):
            features = F.relu(F.max_pool2d(conv(features.masked_fill(~mask, 0)), 2))
            mask = halved(mask)
        pooled: Tensor = self.pooling(features, mask)
        return pooled
