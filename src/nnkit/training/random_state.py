"""The random state of a run: torch's default generators of the CPU and of its device, and no others."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


def seed(number: int, device: torch.device) -> None:
    """Seed the generators of the CPU and of `device`. Other devices may be at other work."""
    torch.default_generator.manual_seed(number)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(number)
    elif device.type == "mps":
        torch.mps.manual_seed(number)


@contextlib.contextmanager
def kept(device: torch.device) -> Iterator[None]:
    """Give the generators of the CPU and of `device` back as they were."""
    mps = torch.mps.get_rng_state() if device.type == "mps" else None
    with torch.random.fork_rng(devices=[device.index or 0] if device.type == "cuda" else []):
        try:
            yield
        finally:
            if mps is not None:
                torch.mps.set_rng_state(mps)
