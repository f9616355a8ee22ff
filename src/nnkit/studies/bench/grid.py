"""The grid of a benchmark: every combination of device and loader settings, and the reports' three grids."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from nnkit.config import Resolved
from nnkit.data.workers import signals_held_back, start_worker
from nnkit.errors import UsageError
from nnkit.studies.bench.config import BenchConfig

PRESETS: Mapping[str, Mapping[str, Any]] = {
    # Report B's table: 48 cells of its network that resizes without antialiasing.
    "report-grid": {
        "model": ("transform-net",),
        "device": ("cpu", "cuda"),
        "batch_size": (16, 32, 64, 128, 256, 512),
        "shuffle": (True, False),
        "drop_last": (True, False),
    },
    # Report C's means of 30 runs. It names no batch size.
    "report-30": {
        "model": ("mlp-bottleneck",),
        "device": ("cpu", "cuda"),
        "batch_size": (64,),
        "repeats": 30,
    },
    # Report A's search for the fastest inference setting: it found batch 64, 0 workers, pinned memory.
    "report-sweep": {
        "model": ("conv-linear",),
        "device": ("cpu", "cuda"),
        "batch_size": (16, 32, 64, 128, 256, 512),
        "num_workers": (0, 1, 2),
        "pin_memory": (False, True),
    },
}
"""All three read through torch's `DataLoader`, per image, as the reports do."""


UNAVAILABLE = "unavailable"
"""How the error of a cell begins that this machine, or this pipeline, cannot have: no failure."""


@dataclass(frozen=True)
class Setting:
    """One point of the grid, as the JSON of a cell names it."""

    device: str = "cpu"
    batch_size: int = 1
    num_workers: int = 0
    shuffle: bool = False
    drop_last: bool = False
    pin_memory: bool = False

    def document(self) -> dict[str, Any]:
        """The setting as plain values."""
        return asdict(self)

    def num_seen(self, num_images: int) -> int:
        """How many of the images one pass takes: all, unless the last batch is incomplete and dropped."""
        return num_images - num_images % self.batch_size if self.drop_last else num_images

    def unavailable(self) -> str | None:
        """Why this machine cannot run it, or None."""
        device = torch.device(self.device)
        if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
            return f"{UNAVAILABLE}: torch sees {torch.cuda.device_count()} CUDA devices"
        if device.type == "mps" and not torch.backends.mps.is_available():
            return f"{UNAVAILABLE}: no mps device"
        if self.pin_memory and not torch.cuda.is_available():
            return f"{UNAVAILABLE}: memory is pinned for a CUDA device, and there is none"
        return None


def settings_of(config: BenchConfig) -> list[Setting]:
    """Every combination, in the order of the options' values."""
    axes = (
        config.device, config.batch_size, config.num_workers, config.shuffle, config.drop_last,
        config.pin_memory,
    )  # fmt: skip
    return [Setting(*values) for values in itertools.product(*axes)]


def with_preset(resolved: Resolved[BenchConfig]) -> Resolved[BenchConfig]:
    """The configuration with its preset's values wherever nothing else was given.

    `UsageError` for a grid that cannot be run by what it asks for.
    """
    config, origins = resolved.config, dict(resolved.origins)
    if config.preset is not None:
        values = {"loader": "dataloader", **PRESETS[config.preset]}
        values = {key: value for key, value in values.items() if key not in origins}
        origins |= dict.fromkeys(values, f"preset {config.preset}")
        config = config.model_copy(update=values)
    if config.loader == "memory" and (any(config.num_workers) or any(config.pin_memory)):
        raise UsageError(
            "images in memory need no workers and no pinned memory",
            hint="add --loader dataloader, which reads per image as the reports do",
        )
    return replace(resolved, config=config, origins=origins)


def one_pass(images: Tensor, setting: Setting, loader: str) -> Iterator[Tensor]:
    """The batches of one pass over `images`, on the setting's device.

    "memory": `images` are on the device already, and a batch is a slice, or with shuffle a gather.
    "dataloader": torch's DataLoader picks per image from `images` in the host's memory and joins them;
    the copy to the device and the start of workers are part of the pass.
    """
    if loader == "memory":
        yield from _slices(images, setting)
        return
    device = torch.device(setting.device)
    batches: DataLoader[tuple[Tensor, ...]] = DataLoader(
        TensorDataset(images),
        batch_size=setting.batch_size,
        shuffle=setting.shuffle,
        drop_last=setting.drop_last,
        num_workers=setting.num_workers,
        pin_memory=setting.pin_memory,
        worker_init_fn=start_worker,
    )
    with signals_held_back():
        loaded = iter(batches)
    for (batch,) in loaded:
        yield batch.to(device, non_blocking=setting.pin_memory)


def _slices(images: Tensor, setting: Setting) -> Iterator[Tensor]:
    num = setting.num_seen(len(images))
    order = torch.randperm(len(images), device=images.device) if setting.shuffle else None
    for start in range(0, num, setting.batch_size):
        stop = min(start + setting.batch_size, num)
        yield images[start:stop] if order is None else images[order[start:stop]]
