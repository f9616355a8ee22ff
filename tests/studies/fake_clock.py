"""A clock that moves only when a test says so, and a CUDA device that is a name and a list of what was asked."""

from __future__ import annotations

import time

import pytest
import torch


class FakeClock:
    """`time.perf_counter` of a test; `events` holds, in order, each reading, each synchronisation and arm."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.events: list[str] = []

    def tick(self, seconds: float, event: str = "") -> None:
        """Let so many seconds pass."""
        self.now += seconds
        if event:
            self.events.append(event)

    def read(self) -> float:
        """What `time.perf_counter` gives."""
        self.events.append("clock")
        return self.now

    def synchronise(self, device: object = None) -> None:
        """What `torch.cuda.synchronize` does: it takes the time that the device still needs."""
        self.events.append(f"synchronise {device}")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """A fake clock in place of the machine's and of CUDA's queue."""
    fake = FakeClock()
    monkeypatch.setattr(time, "perf_counter", fake.read)
    monkeypatch.setattr(torch.cuda, "synchronize", fake.synchronise)
    return fake
