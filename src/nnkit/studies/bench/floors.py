"""The floor of a benchmark: the time to read all input once and write all output once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nnkit.studies.bench.arms import Input, Pass
from nnkit.studies.bench.device_copies import DeviceCopies


@dataclass(frozen=True)
class Floors:
    """What floors read and write: the host's images by type, and their targets, float32 (N, C', H', W')."""

    inputs: Mapping[Input, Tensor]
    targets: Tensor
    copies: DeviceCopies

    def prepare(self, input_type: Input, name: str) -> Pass:
        """One pass on the device of that name, over the very images that the cells read there."""
        device = torch.device(name)
        images = self.copies.on(device, self.inputs[input_type])
        return _floor_pass(images, torch.empty_like(self.targets, device=device))


def _floor_pass(images: Tensor, output: Tensor) -> Pass:
    # As 8-byte words: no arithmetic on the values slows the reading down.
    flat = images.flatten()
    words = flat[: flat.numel() - flat.numel() % 8].view(torch.int64)

    def run() -> Tensor:
        output.fill_(0)
        return words.sum()

    return run
