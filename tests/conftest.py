"""Where tests find real data, and a cache that decodes it once."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tiny_plugin import tiny as tiny

# A shell starts what runs beside it with SIGINT ignored, and so would tests of Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real datasets; without it a test is skipped, but fails in CI."""
    given = os.environ.get("NNKIT_DATA", "")
    if given and Path(given).is_dir():
        return Path(given).resolve()
    if os.environ.get("CI"):
        pytest.fail("NNKIT_DATA names no folder: CI always runs the tests on real data")
    pytest.skip("NNKIT_DATA names no folder of real data")


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for decoded data, shared by all tests of a process; NNKIT_CACHE where it is set."""
    given = os.environ.get("NNKIT_CACHE", "")
    return Path(given) if given else tmp_path_factory.mktemp("cache")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test marked `gpu` is skipped where torch sees no CUDA device."""
    if item.get_closest_marker("gpu") is not None:
        import torch

        if not torch.cuda.is_available():
            pytest.skip("torch sees no CUDA device")
