"""Small and broken components for tests, found as any plugin's are: by metadata in a folder on sys.path."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nnkit import registry
from nnkit.data.images import Images
from nnkit.types import Data, DataPlace, Split

ENTRY_POINTS = """
[nnkit.datasets]
tiny = tiny_plugin:Tiny
[nnkit.models]
tiny-net = tiny_plugin:TinyNet
[nnkit.losses]
nan-loss = tiny_plugin:NanLoss
"""
NUM = {"train": 90, "val": 42, "test": 45}


class Tiny:
    """Noisy stripes of three classes, 8×8 (or 8×8, 10×6 and 12×12): 90 train, 42 validate, 45 test."""

    task = "classification"
    default_model = "tiny-net"

    def __init__(
        self, *, several: bool = False, empty_val: bool = False, noise: float = 60.0, classes: int = 3
    ) -> None:
        self.sizes = ((8, 8), (10, 6), (12, 12)) if several else ((8, 8),)
        self.empty_val = empty_val
        self.noise = noise
        self.classes = classes

    def load(self, place: DataPlace) -> Data:
        rng = np.random.default_rng(0)
        num = sum(NUM.values())
        labels = rng.integers(0, 3, num)
        images = []
        for index, label in enumerate(labels):
            height, width = self.sizes[index % len(self.sizes)]
            pixels = rng.normal(100, self.noise, (height, width))
            pixels[label * 2 : label * 2 + 2] += 80
            images.append(pixels.clip(0, 255).astype(np.uint8))
        held, targets = Images.from_arrays(images), torch.from_numpy(labels)
        ends = np.cumsum(list(NUM.values()))
        parts = dict(zip(NUM, np.split(np.arange(num), ends[:-1]), strict=True))
        if self.empty_val:
            parts["val"] = parts["val"][:0]
        return Data(
            task="classification",
            splits={name: Split(held, targets, part) for name, part in parts.items()},
            in_channels=1,
            image_size=held.image_size,
            class_names=tuple("abcdefgh"[: self.classes]),
            mean=(0.4,),
            std=(0.3,),
        )


class TinyNet(nn.Module):
    """One convolution and one linear layer.

    `poison_at`: this training step writes a NaN into a weight. `most_pixels`: training on larger batches runs
    out of memory; `most_eval_pixels`: evaluation of them.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int = 1,
        dropout: float = 0.0,
        norm: bool = False,
        slow_step_s: float = 0.0,
        slow_eval_s: float = 0.0,
        poison_at: int = 0,
        most_pixels: int = 1 << 40,
        most_eval_pixels: int = 1 << 40,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 4, (2, 3), stride=(2, 1))
        self.norm = nn.BatchNorm2d(4) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(12, num_classes)
        self.slow_step_s, self.slow_eval_s = slow_step_s, slow_eval_s
        self.poison_at = poison_at
        self.most_pixels, self.most_eval_pixels = most_pixels, most_eval_pixels
        self.steps = 0

    def forward(self, inputs: Tensor) -> Tensor:
        if inputs.numel() > (self.most_pixels if self.training else self.most_eval_pixels):
            raise torch.OutOfMemoryError("CUDA out of memory, as it were")
        time.sleep(self.slow_step_s if self.training else self.slow_eval_s)
        features = self.norm(self.conv(inputs)).relu()[:, :, :3].amax(dim=3)
        output: Tensor = self.linear(self.dropout(features.flatten(1)))
        self.steps += self.training
        if self.training and self.steps == self.poison_at:
            with torch.no_grad():
                self.linear.bias[0] = torch.nan
        return output


class NanLoss(nn.Module):
    """Cross-entropy that is NaN at one training step, or in validation after it (`where="validation"`)."""

    def __init__(self, *, at: int = 1, where: Literal["training", "validation"] = "training") -> None:
        super().__init__()
        self.at, self.where, self.steps = at, where, 0

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        self.steps += torch.is_grad_enabled()
        value = nn.functional.cross_entropy(output, target)
        here = torch.is_grad_enabled() if self.where == "training" else not torch.is_grad_enabled()
        late = self.steps == self.at if self.where == "training" else self.steps >= self.at
        return value * torch.nan if here and late else value


@dataclass(frozen=True)
class TinyPlugin:
    """The installed plugin: `env` is for subprocesses, `runs` a folder for runs."""

    env: dict[str, str]
    runs: Path


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TinyPlugin]:
    site = tmp_path / "site"
    info = site / "tiny_plugin-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delenv("NNKIT_PLUGINS", raising=False)
    monkeypatch.delenv("NNKIT_RUNS", raising=False)
    registry.refresh()
    given = os.environ.get("PYTHONPATH", "")
    path = os.pathsep.join([str(site), str(Path(__file__).parent), *([given] if given else [])])
    yield TinyPlugin({**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}, tmp_path / "runs")
    registry.refresh()
