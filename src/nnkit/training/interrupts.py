"""Ctrl-C, SIGTERM and SIGHUP: the first asks to stop between two batches, the second stops at once."""

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
    """The signal that requested the stop, or 0."""

    signal: int = 0

    @property
    def exit_code(self) -> int:
        """130 for SIGINT, 143 for SIGTERM, 129 for SIGHUP."""
        return 128 + self.signal

    def check(self) -> None:
        """`InterruptedRun` once a signal has asked to stop."""
        if self.signal:
            words = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
            word = words.get(signal.Signals(self.signal), "hung up")
            raise InterruptedRun(word, exit_code=self.exit_code)


def stopping_signals() -> list[signal.Signals]:
    """The signals that ask a run to stop, of those that the system has and that are not ignored."""
    found = [signal.SIGINT, signal.SIGTERM]
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        found.append(hangup)
    return found


@contextlib.contextmanager
def listening() -> Iterator[Interrupt]:
    """Catch the first of these signals while the block runs; outside the main thread none is caught.

    A SIGHUP that is ignored already, as under nohup, stays ignored.
    """
    asked = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    old = {number: signal.getsignal(number) for number in stopping_signals()}

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
