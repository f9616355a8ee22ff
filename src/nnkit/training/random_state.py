"""The random state of a run: torch's default generators of the CPU and of its device, and no others."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


def seed(number: int, device: torch.device) -> None:
    """Seed the generators of the CPU and of `device`. Other devices may be at other work."""
    torch.default_generator.manual_seed(number)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(number)
    elif device.type == "mps":
        torch.mps.manual_seed(number)


@dataclass(frozen=True)
class RandomState:
    """Where the generators of the CPU and of a device are."""

    device: torch.device
    cpu: Tensor
    own: Tensor | None


def read(device: torch.device) -> RandomState:
    """Where the generators are now. On a GPU this waits for no kernel: its counter is kept on the host."""
    own = None
    if device.type == "cuda":
        own = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        own = torch.mps.get_rng_state()
    return RandomState(device, torch.get_rng_state(), own)


def write(state: RandomState) -> None:
    """Bring the generators back to where they were."""
    torch.set_rng_state(state.cpu)
    if state.own is not None and state.device.type == "cuda":
        torch.cuda.set_rng_state(state.own, state.device)
    elif state.own is not None:
        torch.mps.set_rng_state(state.own)


@contextlib.contextmanager
def kept(device: torch.device) -> Iterator[None]:
    """Give the generators of the CPU and of `device` back as they were."""
    before = read(device)
    try:
        yield
    finally:
        write(before)
