"""Components that tell what a command did with its options, found as any plugin's are."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from nnkit.types import Data, DataPlace, TrackedEvent, TrackedResult, TrackedRun
from tiny_plugin import Tiny

DATA_ENTRY_POINTS = """
[nnkit.datasets]
placed = cli.cli_plugin:Placed
"""
ENTRY_POINTS = """
[nnkit.poolings]
mse = cli.cli_plugin:Mean
fragile = cli.cli_plugin:Fragile
[nnkit.models]
breaks-at-four = cli.cli_plugin:BreaksAtFour
[nnkit.trackers]
silent = cli.cli_plugin:Silent
"""


class Silent:
    """Takes what a run records, and does nothing with it."""

    def start(self, run: TrackedRun) -> None: ...

    def log(self, event: TrackedEvent) -> None: ...

    def finish(self, result: TrackedResult) -> None: ...


class Placed(Tiny):
    """Remembers where it was told to look for data."""

    places: ClassVar[list[DataPlace]] = []

    def load(self, place: DataPlace) -> Data:
        Placed.places.append(place)
        return super().load(place)


class Mean(nn.Module):
    """The mean of each channel, under the name of a loss."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.mean((2, 3))


class Fragile(nn.Module):
    """Fails."""

    def forward(self, inputs: Tensor) -> Tensor:
        raise MemoryError("no room, as it were")


class BreaksAtFour(nn.Module):
    """Makes 8×8 images, but for batches of four."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, inputs: Tensor) -> Tensor:
        if len(inputs) == 4:
            raise RuntimeError("four are too many")
        grey: Tensor = self.scale * inputs[:, :1, :8, :8]
        return grey
