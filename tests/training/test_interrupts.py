from __future__ import annotations

import signal
import threading

import pytest

from nnkit.errors import InterruptedRun
from nnkit.training.interrupts import Interrupt, listening


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_is_asked_for_and_carries_its_exit_code(number: int, code: int) -> None:
    with listening() as interrupt:
        interrupt.check()
        signal.raise_signal(number)
        with pytest.raises(InterruptedRun) as error:
            interrupt.check()
    assert error.value.exit_code == code


def test_the_second_ctrl_c_is_as_ever() -> None:
    # A shell starts what it puts in the background with Ctrl-C ignored: as ever is then to ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with listening():
            signal.raise_signal(signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_handlers_are_as_before_afterwards() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with listening():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_thread_catches_nothing_and_breaks_nothing() -> None:
    seen: list[Interrupt] = []

    def run() -> None:
        with listening() as interrupt:
            interrupt.check()
            seen.append(interrupt)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert len(seen) == 1
