"""Datasets whose targets say which image is which, so that a run shows the order of its batches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fake_plugins import write_plugin
from nnkit import registry
from nnkit.data.images import Images
from nnkit.types import Data, DataPlace, Split

NUM = {"train": 40, "val": 17, "test": 19}
MEAN, STD = 0.4, 0.3
ENTRY_POINTS = """
[nnkit.datasets]
one-of-each = oracle.components:OneOfEach
pairs = oracle.components:Pairs
[nnkit.models]
small-net = oracle.components:SmallNet
flat-net = oracle.components:FlatNet
"""


class OneOfEach:
    """Each training image is a class of its own; validation and test images are noisy copies of some.

    Images are `size`×`size`, or with `several` 8×8, 10×6 and 12×12 in turn.
    """

    task = "classification"
    default_model = "small-net"

    def __init__(self, *, size: int = 8, several: bool = False) -> None:
        self.sizes = ((8, 8), (10, 6), (12, 12)) if several else ((size, size),)

    def load(self, place: DataPlace | None) -> Data:
        """The data, the same each time."""
        rng = np.random.default_rng(7)
        shapes = [self.sizes[label % len(self.sizes)] for label in range(NUM["train"])]
        train = [rng.integers(0, 256, shape) for shape in shapes]
        labels = list(range(NUM["train"]))
        images = list(train)
        for name in ("val", "test"):
            images += [
                (train[k] + rng.integers(-25, 26, train[k].shape)).clip(0, 255) for k in range(NUM[name])
            ]
            labels += range(NUM[name])
        held = Images.from_arrays([image.astype(np.uint8) for image in images])
        parts = np.split(np.arange(len(images)), np.cumsum(list(NUM.values()))[:-1])
        targets = torch.tensor(labels)
        return Data(
            task="classification",
            splits={name: Split(held, targets, part) for name, part in zip(NUM, parts, strict=True)},
            in_channels=1,
            image_size=held.image_size,
            class_names=tuple(f"class-{label}" for label in range(NUM["train"])),
            mean=(MEAN,),
            std=(STD,),
        )


class Pairs:
    """Random 3×8×8 images; the targets, 1×4×4, are means over channels and 2×2 pixels, mirrored."""

    task = "transform"
    default_model = "linear"

    def load(self, place: DataPlace | None) -> Data:
        """The data, the same each time."""
        num = sum(NUM.values())
        images = torch.from_numpy(np.random.default_rng(3).integers(0, 256, (num, 3, 8, 8)).astype(np.uint8))
        means = (images.to(torch.get_default_dtype()) / 255).mean(dim=1, keepdim=True)
        targets = nn.functional.avg_pool2d(means, 2).flip(3)
        parts = np.split(np.arange(num), np.cumsum(list(NUM.values()))[:-1])
        held = Images.from_tensor(images)
        return Data(
            task="transform",
            splits={name: Split(held, targets, part) for name, part in zip(NUM, parts, strict=True)},
            in_channels=3,
            image_size=(8, 8),
            target_channels=1,
            target_size=(4, 4),
            mean=(0.0,) * 3,
            std=(1.0,) * 3,
        )


class SmallNet(nn.Module):
    """A convolution, perhaps batch norm, ReLU, the mean over the mask, perhaps dropout, a linear layer."""

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int = 1,
        width: int = 6,
        dropout: float = 0.0,
        norm: bool = False,
    ) -> None:
        super().__init__()
        # No bias before a norm: its gradient is rounding alone, which Adam blows up.
        self.conv = nn.Conv2d(in_channels, width, 3, padding=1, bias=not norm)
        self.norm = nn.BatchNorm2d(width) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(width, num_classes)

    def forward(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits (B, K) of images (B, C, H, W)."""
        features = self.norm(self.conv(inputs)).relu()
        if mask is None:
            mask = torch.ones_like(inputs[:, :1], dtype=torch.bool)
        pooled = (features * mask).sum((2, 3)) / mask.sum((2, 3))
        logits: Tensor = self.linear(self.dropout(pooled))
        return logits


class FlatNet(nn.Module):
    """One linear layer: its loss is convex, so that a line search blows rounding up less."""

    def __init__(
        self, *, num_classes: int, in_channels: int = 1, image_size: tuple[int, int] = (8, 8)
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(in_channels * image_size[0] * image_size[1], num_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (B, K) of images (B, C, H, W)."""
        logits: Tensor = self.linear(inputs.flatten(1))
        return logits


@pytest.fixture(scope="session")
def oracle_components(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Install the components above as a plugin; the folder is for runs."""
    site = tmp_path_factory.mktemp("oracle-site")
    write_plugin(site, "oracle-components", ENTRY_POINTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        patch.delenv("NNKIT_PLUGINS", raising=False)
        registry.refresh()
        yield tmp_path_factory.mktemp("oracle-runs")
    registry.refresh()
