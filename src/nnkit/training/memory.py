"""Out of memory: telling it from other errors, and finding a batch size that fits."""

from __future__ import annotations

import gc
from collections.abc import Callable

import torch


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or the machine, had no memory left."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # On the CPU torch raises a plain RuntimeError.
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


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
    try:
        attempt(batch_size)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True
