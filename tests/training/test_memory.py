from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest
import torch

from nnkit.training.memory import fitting_batch_size, is_out_of_memory, release_traceback


@pytest.fixture(autouse=True)
def _small_heap() -> Iterator[None]:
    """What is there already is left out of each collection, which makes it fast."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize(
    ("error", "is_it"),
    [
        (torch.OutOfMemoryError("x"), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes"), True),
        (RuntimeError("CUDA out of memory"), True),
        (RuntimeError("not enough memory: you tried to allocate"), True),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("std::bad_alloc"), True),
        (NotImplementedError("out of memory"), True),  # a RuntimeError too
        (RuntimeError("memory format"), False),
        (OSError("out of memory"), False),
        (KeyboardInterrupt("out of memory"), False),
    ],
    ids=repr,
)
def test_what_says_that_memory_ran_out_is_told_from_all_else(error: BaseException, is_it: bool) -> None:
    assert is_out_of_memory(error) is is_it


@pytest.mark.parametrize(
    ("start", "most", "tried", "found"),
    [
        (64, 64, [64], 64),
        (64, 63, [64, 32], 32),
        (48, 5, [48, 24, 12, 6, 3], 3),
        (7, 1, [7, 3, 1], 1),
        (4, 0, [4, 2, 1], 0),
        (1, 1, [1], 1),
        (1, 0, [1], 0),
    ],
)
def test_a_batch_is_halved_until_it_fits(start: int, most: int, tried: list[int], found: int) -> None:
    seen = []

    def attempt(batch_size: int) -> None:
        seen.append(batch_size)
        if batch_size > most:
            raise torch.OutOfMemoryError("no")

    assert fitting_batch_size(start, attempt) == found
    assert seen == tried


class Held:
    """Something large, in a circle with itself."""

    def __init__(self) -> None:
        self.me = self


def test_garbage_is_collected_before_each_try() -> None:
    living: list[weakref.ref[Held]] = []
    gc.disable()
    try:

        def attempt(batch_size: int) -> None:
            assert not [one for one in living if one() is not None]
            living.append(weakref.ref(Held()))
            if batch_size > 1:
                raise MemoryError

        living.append(weakref.ref(Held()))
        assert living[0]() is not None
        assert fitting_batch_size(8, attempt) == 1
    finally:
        gc.enable()


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_what_a_device_keeps_in_reserve_is_given_back_before_each_try(
    monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    done: list[str] = []
    for name, cache in (("cuda", torch.cuda), ("mps", torch.mps)):
        monkeypatch.setattr(cache, "empty_cache", lambda name=name: done.append(name))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: device == "cuda")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: device == "mps")

    def attempt(batch_size: int) -> None:
        done.append(str(batch_size))
        if batch_size > 1:
            raise MemoryError

    fitting_batch_size(2, attempt)
    assert done == [device, "2", device, "1"]


def test_what_the_frames_behind_an_error_hold_is_freed_down_to_the_first_cause() -> None:
    living: list[weakref.ref[Held]] = []

    def hold() -> None:
        held = Held()
        held.me = None  # type: ignore[assignment]
        living.append(weakref.ref(held))
        raise ValueError("first")

    def while_handling() -> None:
        held = Held()
        held.me = None  # type: ignore[assignment]
        living.append(weakref.ref(held))
        try:
            hold()
        except ValueError:
            raise KeyError("second")  # noqa: B904  # a context, not a cause

    def because_of() -> None:
        held = Held()
        held.me = None  # type: ignore[assignment]
        living.append(weakref.ref(held))
        try:
            while_handling()
        except KeyError as error:
            raise RuntimeError("third") from error

    caught: BaseException | None = None
    try:
        because_of()
    except RuntimeError as error:
        caught = error
    assert caught is not None
    assert len(living) == 3
    assert all(one() is not None for one in living)
    release_traceback(caught)
    assert all(one() is None for one in living)
