"""A clock that moves only when a test says so, or by the bytes that tensors move."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

NANOSECOND = 1e-9


class FakeClock:
    """`time.perf_counter` of a test; `events` holds, in order, each reading, each synchronisation and arm."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.events: list[str] = []
        self.free = False
        """While true, what tensors move takes no time."""

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
        """What `torch.cuda.synchronize` does here: it takes no time."""
        self.events.append(f"synchronise {device}")

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Computing in here takes no time."""
        was, self.free = self.free, True
        try:
            yield
        finally:
            self.free = was


class Memory(TorchDispatchMode):
    """A machine that reads and writes a byte in a nanosecond, and computes in no time.

    An operator reads each tensor that it is given, but for views, and writes those that it makes or changes.
    """

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.clock = clock

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not self.clock.free:
            self.clock.tick(NANOSECOND * _bytes_moved(func, args, result))
        return result


def _bytes_moved(func: Any, args: tuple[Any, ...], result: Any) -> int:
    known = zip(func._schema.arguments, args, strict=False)
    moved = [
        value
        for said, value in known
        if isinstance(value, Tensor) and (said.alias_info is None or said.alias_info.is_write)
    ]
    made = result if isinstance(result, (list, tuple)) else [result]
    moved += [
        value
        for said, value in zip(func._schema.returns, made, strict=False)
        if isinstance(value, Tensor) and said.alias_info is None
    ]
    return sum(tensor.nbytes for tensor in moved)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """A fake clock in place of the machine's and of the queues of its devices."""
    fake = FakeClock()
    monkeypatch.setattr(time, "perf_counter", fake.read)
    monkeypatch.setattr(torch.cuda, "synchronize", fake.synchronise)
    monkeypatch.setattr(torch.mps, "synchronize", lambda: fake.synchronise("mps"))
    return fake
