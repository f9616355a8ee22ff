"""Devices and threads: the meaning of "auto", and an error for a missing device."""

from __future__ import annotations

import torch
from torch import nn

from nnkit.errors import UsageError


def choose_device(name: str) -> torch.device:
    """The device that `auto`, `cpu`, `cuda[:i]` or `mps` means here; `UsageError` where it is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        seen = f"torch {torch.__version__} sees {torch.cuda.device_count()} CUDA devices"
        raise UsageError(
            f'device "{name}" is not here: {seen}',
            hint="use --device cpu, or see `nnkit doctor`",
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError('device "mps" is not here', hint="use --device cpu")
    return device


def set_threads(threads: int | None) -> None:
    """Fix the number of CPU threads that torch computes with; None leaves torch's own choice."""
    if threads is not None:
        torch.set_num_threads(threads)


def put_on(model: nn.Module, device: torch.device, *, channels_last: bool) -> nn.Module:
    """The model on a device, in the memory format that its batches will have."""
    model = model.to(device)
    return model.to(memory_format=torch.channels_last) if channels_last else model


def likes_channels_last(model: nn.Module) -> bool:
    """Whether batches for this model are best laid out channels last: convolutions are faster so."""
    return any(isinstance(module, nn.Conv2d) for module in model.modules())


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context that runs a forward pass in `fp32` or `bf16`; weights stay fp32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
