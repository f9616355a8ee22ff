"""Versions and machine, for environment.json, `nnkit bench` and `nnkit doctor`."""

from __future__ import annotations

import os
import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_LIBRARIES = ("nnkit", "torch", "torchvision", "numpy", "pillow", "kornia", "pydantic", "typer")


def environment() -> dict[str, Any]:
    """Versions, processor, cores and the command line."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "versions": {name: _version(name) for name in _LIBRARIES},
        "command": sys.argv,
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
        return match[1] if match else platform.processor()
    except OSError:
        return platform.processor()
