from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

import pytest

from nnkit.errors import InterruptedRun
from nnkit.training import interrupts
from nnkit.training.interrupts import Interrupt, as_interrupted, ignore_after_first, listening


@pytest.fixture(autouse=True)
def _terminated_is_an_error() -> Iterator[None]:
    """SIGTERM that nobody hears fails the test, and does not end the process that runs it."""

    def unheard(number: int, frame: FrameType | None) -> None:
        raise AssertionError("SIGTERM went unheard")

    before = signal.signal(signal.SIGTERM, unheard)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_is_asked_for_and_carries_its_exit_code(number: int, code: int) -> None:
    with listening() as interrupt:
        interrupt.check()
        signal.raise_signal(number)
        with pytest.raises(InterruptedRun) as error:
            interrupt.check()
    assert error.value.exit_code == code
    assert error.value.message == {130: "interrupted", 143: "terminated"}[code]
    assert (interrupt.signal, interrupt.exit_code) == (number, code)
    assert Interrupt().signal == 0


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


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_after_the_first_signal_the_second_has_the_handler_of_before(first: int, second: int) -> None:
    heard: list[int] = []
    old = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number in old:
            signal.signal(number, lambda number, frame: heard.append(number))
        with listening() as interrupt:
            signal.raise_signal(first)
            assert (heard, interrupt.signal) == ([], first)
            signal.raise_signal(second)
            assert (heard, interrupt.signal) == ([second], first)
        signal.raise_signal(second)
        assert heard == [second, second]
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def test_a_child_that_ends_on_a_signal_is_not_hurried_by_the_one_of_its_parent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(interrupts, "_one_is_enough", False)
    ignore_after_first()
    with listening() as interrupt:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)
    assert interrupt.signal == signal.SIGTERM


def test_handlers_are_as_before_when_the_block_fails() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(RuntimeError), listening():
        raise RuntimeError
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


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


def wait_long() -> None:
    for _ in range(1000):
        with contextlib.suppress(Exception):  # as compilers and loaders do
            time.sleep(0.05)


def test_what_takes_long_after_a_signal_is_broken_off_though_it_catches_every_exception() -> None:
    with listening(patience_s=0.05) as interrupt:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(InterruptedRun) as error, interrupt.breakable():
            wait_long()
    assert error.value.exit_code == 143


@pytest.mark.parametrize("block", ["none", "refused"])
def test_what_may_not_be_broken_off_is_ended(block: str) -> None:
    with listening(patience_s=0.01) as interrupt:
        signal.raise_signal(signal.SIGTERM)
        with contextlib.nullcontext() if block == "none" else interrupt.breakable(lambda: False):
            time.sleep(0.1)
        with interrupt.breakable():
            time.sleep(0.1)
    assert interrupt.signal == signal.SIGTERM


@pytest.mark.parametrize(
    ("error", "code"),
    [(KeyboardInterrupt(), 130), (SystemExit(143), 143), (SystemExit(129), 129), (SystemExit(3), 0),
     (SystemExit("text"), 0), (ValueError(), 0)],
)  # fmt: skip
def test_a_signal_that_nobody_listened_for_has_its_code(error: BaseException, code: int) -> None:
    found = as_interrupted(error)
    assert (found.exit_code if found is not None else 0) == code
