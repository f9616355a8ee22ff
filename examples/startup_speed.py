"""Startup time of nnkit beside importing typer and pydantic, and with 200 plugins installed.

    python examples/startup_speed.py

Whole processes by the wall clock, one of each per round. The plugins are metadata alone.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 15
NUM_PLUGINS = 200


def install_plugins(folder: Path) -> None:
    """Metadata of distributions that each name one model."""
    for number in range(NUM_PLUGINS):
        info = folder / f"fake_{number}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: fake-{number}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[nnkit.models]\nfake-{number} = fake_{number}:Net\n")


def seconds(command: list[str], path: str) -> float:
    """How long one process takes."""
    started = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": path}
    subprocess.run(command, stdout=subprocess.DEVNULL, env=environment, check=True)
    return time.perf_counter() - started


def main() -> None:
    """Print the median of each command and its ratio to the import, round by round."""
    nnkit = str(Path(sys.executable).with_name("nnkit"))
    with tempfile.TemporaryDirectory() as folder:
        install_plugins(Path(folder))
        arms = {
            "import typer, pydantic": ([sys.executable, "-c", "import typer, pydantic"], ""),
            "nnkit --help": ([nnkit, "--help"], ""),
            "nnkit list": ([nnkit, "list"], ""),
            f"nnkit list, {NUM_PLUGINS} plugins": ([nnkit, "list"], folder),
        }
        times: dict[str, list[float]] = {name: [] for name in arms}
        for _ in range(ROUNDS):
            for name, (command, path) in arms.items():
                times[name].append(seconds(command, path))
    base, *_ = times.values()
    for name, samples in times.items():
        ratio = statistics.median(own / other for own, other in zip(samples, base, strict=True))
        print(f"{name:26} {1e3 * statistics.median(samples):5.0f} ms  {ratio:.2f} times the import")


if __name__ == "__main__":
    main()
