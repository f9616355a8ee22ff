"""Devices and threads: what "auto" means, and a clear refusal of what is not there."""

from __future__ import annotations

import torch

from nnkit.errors import UsageError


def choose_device(name: str) -> torch.device:
    """The device that `auto`, `cpu`, `cuda[:i]` or `mps` means here; `UsageError` where it is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(
            f'device "{name}" is not here: torch {torch.__version__} sees {torch.cuda.device_count()} CUDA devices',
            hint="use --device cpu, or see `nnkit doctor`",
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError('device "mps" is not here', hint="use --device cpu")
    return device


def set_threads(threads: int | None) -> None:
    """Fix the number of CPU threads that torch computes with; None leaves torch's own choice."""
    if threads is not None:
        torch.set_num_threads(threads)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context that runs a forward pass in `fp32` or `bf16`; weights stay fp32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
