"""Ctrl-C, SIGTERM and SIGHUP: the first asks to stop between two batches, the second stops at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType

from nnkit.errors import InterruptedRun

_WORDS = {129: "hung up", 130: "interrupted", 143: "terminated"}


_one_is_enough = False


def ignore_after_first() -> None:
    """In this process a signal after the first is ignored for good: its parent kills it where it must.

    A terminal that closes, or a batch system, sends the signal to parent and child; the parent's own to the
    child would be its second, and end it in the midst of its checkpoint.
    """
    global _one_is_enough
    _one_is_enough = True


class _BrokenOff(BaseException):
    """Patience has ended. No library catches it, as compilers and loaders do every Exception."""


@dataclass
class Interrupt:
    """The signal that requested the stop, or 0."""

    signal: int = 0
    _may_break: Callable[[], bool] | None = None

    @property
    def exit_code(self) -> int:
        """130 for SIGINT, 143 for SIGTERM, 129 for SIGHUP."""
        return 128 + self.signal

    def check(self) -> None:
        """`InterruptedRun` once a signal has asked to stop."""
        if self.signal:
            raise InterruptedRun(_WORDS[self.exit_code], exit_code=self.exit_code)

    @contextlib.contextmanager
    def breakable(self, when: Callable[[], bool] = lambda: True) -> Iterator[None]:
        """`InterruptedRun` wherever the block is when patience ends, if `when` says yes then."""
        self._may_break = when
        try:
            yield
            self._may_break = None
        except _BrokenOff:
            self.check()
        finally:
            self._may_break = None

    def end_patience(self) -> None:
        """Break off what is under way, where it may be."""
        if self._may_break is not None and self._may_break():
            raise _BrokenOff


def as_interrupted(error: BaseException) -> InterruptedRun | None:
    """What to raise for Ctrl-C, or for the exit on a signal, that nobody listened for; None for all else."""
    code = 130 if isinstance(error, KeyboardInterrupt) else getattr(error, "code", None)
    if isinstance(error, (KeyboardInterrupt, SystemExit)) and code in _WORDS:
        return InterruptedRun(_WORDS[code], exit_code=code)
    return None


def interrupted(error: BaseException, done: str) -> InterruptedRun:
    """What to raise for Ctrl-C, or for the exit on a signal, wherever it came; `done` is "2 of 3 rounds"."""
    code = 130
    if isinstance(error, InterruptedRun):
        code = error.exit_code
    elif isinstance(error, SystemExit) and isinstance(error.code, int):
        code = error.code
    return InterruptedRun(f"interrupted with {done} done", exit_code=code)


def stopping_signals() -> list[signal.Signals]:
    """The signals that ask a run to stop, of those that the system has and that are not ignored."""
    found = [signal.SIGINT, signal.SIGTERM]
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        found.append(hangup)
    return found


def _ignored(number: int, frame: FrameType | None) -> None:
    pass


@contextlib.contextmanager
def listening(*, patience_s: float | None = None) -> Iterator[Interrupt]:
    """Catch the first of these signals while the block runs; outside the main thread none is caught.

    A SIGHUP that is ignored already, as under nohup, stays ignored. With `patience_s`, what is `breakable` is
    broken off when so many seconds have passed since the signal, on systems with timers.
    """
    asked = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    old = {number: signal.getsignal(number) for number in stopping_signals()}
    has_timer = patience_s is not None and hasattr(signal, "setitimer")

    def ask(number: int, frame: FrameType | None) -> None:
        asked.signal = number
        for each, handler in old.items():
            signal.signal(each, _ignored if _one_is_enough else handler)
        if patience_s is not None and has_timer:
            signal.setitimer(signal.ITIMER_REAL, patience_s)

    old_alarm = (
        signal.signal(signal.SIGALRM, lambda number, frame: asked.end_patience()) if has_timer else None
    )
    for number in old:
        signal.signal(number, ask)
    try:
        yield asked
    finally:
        for number, handler in old.items():
            signal.signal(number, _ignored if asked.signal and _one_is_enough else handler)
        if has_timer:
            if asked.signal:
                signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, old_alarm)
