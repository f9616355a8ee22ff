"""Ctrl-C and SIGTERM: the first one asks to stop between two batches, the second stops at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

from nnkit.errors import InterruptedRun


@dataclass
class Interrupt:
    """Which signal has asked to stop, or 0."""

    signal: int = 0

    @property
    def exit_code(self) -> int:
        """130 for SIGINT, 143 for SIGTERM."""
        return 128 + self.signal

    def check(self) -> None:
        """`InterruptedRun` once a signal has asked to stop."""
        if self.signal:
            word = "interrupted" if self.signal == signal.SIGINT else "terminated"
            raise InterruptedRun(word, exit_code=self.exit_code)


@contextlib.contextmanager
def listening() -> Iterator[Interrupt]:
    """Catch the first SIGINT or SIGTERM while the block runs; outside the main thread nothing is caught."""
    asked = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    old = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: FrameType | None) -> None:
        asked.signal = number
        for each, handler in old.items():
            signal.signal(each, handler)

    for number in old:
        signal.signal(number, ask)
    try:
        yield asked
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
