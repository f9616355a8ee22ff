"""Out of memory: recognising it, and finding a batch size that fits."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable

import torch

_SAID = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED", "std::bad_alloc")
"""What torch and the libraries under it say in a plain RuntimeError."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or the machine, had no memory left."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _SAID)


def release_traceback(error: BaseException) -> None:
    """Free what the frames behind an error, and behind those that led to it, hold."""
    behind: BaseException | None = error
    while behind is not None:
        traceback.clear_frames(behind.__traceback__)
        behind = behind.__cause__ or behind.__context__


def fitting_batch_size(batch_size: int, attempt: Callable[[int], None]) -> int:
    """The first of batch_size, its half, its quarter and so on that `attempt` has memory for; 0 for none.

    What `attempt` raises for any other reason is not caught.
    """
    while batch_size and not _fits(batch_size, attempt):
        batch_size //= 2
    return batch_size


def _fits(batch_size: int, attempt: Callable[[int], None]) -> bool:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
    try:
        attempt(batch_size)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True
