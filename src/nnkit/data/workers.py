"""Processes that load images for a `DataLoader`: one thread each, and deaf to what stops the whole group."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

import torch

_STOPPING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextlib.contextmanager
def signals_held_back() -> Iterator[None]:
    """Workers start with these signals held back, until `start_worker` ignores them; they wait here too."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_worker(_: int) -> None:
    """One thread each; what stops the whole group is for the main process: it saves, then ends them."""
    torch.set_num_threads(1)
    for number in _STOPPING:
        signal.signal(number, signal.SIG_IGN)
