"""Training that gives the same bits each time: torch's deterministic algorithms, for the time of one run."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator

import torch

from nnkit.errors import NnkitError, UsageError

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
REPEATABLE_WORKSPACES = (":4096:8", ":16:8")
"""The workspaces with which cuBLAS adds up in one order; the first is the faster, and takes 24 MiB."""

_NO_SUCH_KERNEL = re.compile(r"(?:^|\s)(\S+) does not have a deterministic implementation")


@contextlib.contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """With `wanted`, allow only kernels that repeat themselves to the bit; afterwards all is as before.

    Enter it before the process first uses CUDA: cuBLAS reads its workspace once. An operation that has no
    such kernel raises torch's RuntimeError, which `refusal` explains.
    """
    if not wanted:
        yield
        return
    cudnn, workspace = torch.backends.cudnn, os.environ.get(WORKSPACE)
    algorithms = torch.are_deterministic_algorithms_enabled()
    only_warns = torch.is_deterministic_algorithms_warn_only_enabled()
    chosen = cudnn.deterministic, cudnn.benchmark
    try:
        if workspace not in REPEATABLE_WORKSPACES:
            os.environ[WORKSPACE] = REPEATABLE_WORKSPACES[0]
        torch.use_deterministic_algorithms(True)
        cudnn.deterministic, cudnn.benchmark = True, False
        yield
    finally:
        torch.use_deterministic_algorithms(algorithms, warn_only=only_warns)
        cudnn.deterministic, cudnn.benchmark = chosen
        if workspace is None:
            os.environ.pop(WORKSPACE, None)
        else:
            os.environ[WORKSPACE] = workspace


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """An operation that has no deterministic form ends the block as a `UsageError` that names it."""
    try:
        yield
    except RuntimeError as error:
        explained_error = refusal(error)
        if explained_error is None:
            raise
        raise explained_error from error


def refusal(error: RuntimeError) -> NnkitError | None:
    """The error to tell where torch refused an operation for being not deterministic; None for any other."""
    text = str(error)
    if match := _NO_SUCH_KERNEL.search(text):
        return UsageError(
            f"the operation {match[1]} has no deterministic form in torch {torch.__version__} on this device",
            hint="train without --deterministic, on another --device, or with a model, pooling or loss that "
            "does without this operation; --debug shows where it is called",
        )
    if WORKSPACE in text:
        return UsageError(
            "cuBLAS cannot repeat itself: this process used it before without a workspace for that",
            hint=f"for --deterministic, set {WORKSPACE}={REPEATABLE_WORKSPACES[0]} before the process starts",
        )
    return None
