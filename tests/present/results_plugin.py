"""Components that make results worth showing: a network of known speed, poolings that see nothing or fail."""

from __future__ import annotations

import time
from typing import ClassVar

import torch
from torch import Tensor, nn

from nnkit.types import Size

ENTRY_POINTS = """
[nnkit.models]
shared-net = present.results_plugin:SharedNet
paced-net = present.results_plugin:PacedNet
[nnkit.poolings]
blind = present.results_plugin:Blind
brittle = present.results_plugin:Brittle
"""


class Blind(nn.Module):
    """Makes the same two features of any channel: a model can only guess the most frequent class."""

    def num_features(self, channels: int) -> int:
        return 2 * channels

    def forward(self, inputs: Tensor) -> Tensor:
        means = inputs.mean((2, 3))
        return 0 * torch.cat([means, means], dim=1)


class Brittle(nn.Module):
    """The mean, until `broken` is set: then every training run fails."""

    broken: ClassVar[bool] = False

    def forward(self, inputs: Tensor) -> Tensor:
        if Brittle.broken:
            raise MemoryError("no room, as it were")
        return inputs.mean((2, 3))


class SharedNet(nn.Module):
    """Trainable and frozen parameters, buffers, and a layer without parameters. Counts: 40, 6, 9."""

    def __init__(self, *, in_channels: int = 1, width: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, width, 3)
        self.norm = nn.BatchNorm2d(width, affine=False)
        self.act = nn.ReLU()
        self.frozen = nn.Linear(5, 1).requires_grad_(False)
        self.unused = nn.Parameter(torch.zeros(0))

    def forward(self, inputs: Tensor) -> Tensor:
        features: Tensor = self.act(self.norm(self.conv(inputs)))
        return self.frozen(features.flatten(1)[:, :5])  # type: ignore[no-any-return]


class PacedNet(nn.Module):
    """A grey image of the target's size; each call lets `lasts_s` pass on a clock that can skip."""

    def __init__(self, *, lasts_s: float = 0.0, target_size: Size) -> None:
        super().__init__()
        self.lasts_s = lasts_s
        self.target_size = target_size
        self.scale = nn.Parameter(torch.tensor(0.9))

    def forward(self, inputs: Tensor) -> Tensor:
        getattr(time.perf_counter, "skip", lambda seconds: None)(self.lasts_s)
        grey = nn.functional.interpolate(inputs, self.target_size, mode="bilinear").mean(1, keepdim=True)
        return self.scale * grey
