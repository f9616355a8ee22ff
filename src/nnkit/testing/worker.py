"""One spawned process that all checks share: what crosses to it must pickle, as for a loader's worker."""

from __future__ import annotations

import multiprocessing
import pickle
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from typing import Any

TIME_LIMIT_S = 120.0


def call_in_worker(function: Callable[..., Any], *arguments: Any) -> Any:
    """The answer of a module's function to pickled arguments, computed in a process started by spawn.

    `AssertionError` where the arguments do not pickle, or the worker ends or takes over two minutes.
    """
    try:
        packed = pickle.dumps((function, arguments))
    except (
        Exception
    ) as error:  # pickle raises TypeError, AttributeError, PicklingError and what __reduce__ does
        raise AssertionError(
            f"it does not pickle ({type(error).__name__}: {error}): "
            "keep lambdas, open files and local classes out of its attributes"
        ) from error
    try:
        return _pool().submit(_call, packed, sys.path).result(timeout=TIME_LIMIT_S)
    except BrokenProcessPool as error:
        _pool.cache_clear()
        raise AssertionError("it ended the worker process that unpickled it") from error
    except TimeoutError as error:
        _pool().shutdown(wait=False, cancel_futures=True)
        _pool.cache_clear()
        raise AssertionError(f"the worker process took longer than {TIME_LIMIT_S:.0f} s") from error


def _call(packed: bytes, path: list[str]) -> Any:
    # The worker outlives changes of the path: what is importable here is to be so there.
    sys.path[:] = path
    function, arguments = pickle.loads(packed)
    return function(*arguments)


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@cache
def _pool() -> ProcessPoolExecutor:
    # One process for all checks: starting it imports torch, which takes seconds; a check takes milliseconds.
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_one_thread)
