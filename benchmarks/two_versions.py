"""Two versions of nnkit, whole commands in turn: start-up, training on MNIST and on MNIST-varres.

    git worktree add ../before COMMIT
    python benchmarks/two_versions.py --before ../before/src --after src --rounds 7

Needs NNKIT_DATA. Each command runs in a process of its own with one thread; the rounds alternate which is
first. A ratio above 1 means that the version after is faster. Its interval is the range of the paired ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TRAIN = ["train", "--epochs", "1", "--no-test", "--threads", "1", "--json", "--quiet"]
COMMANDS = {
    "nnkit --help": ["--help"],
    "nnkit list": ["list"],
    "train, mnist": [*TRAIN, "--dataset", "mnist", "--limit", "12800"],
    "train, mnist-varres": [*TRAIN, "--dataset", "mnist-varres", "--limit", "3200"],
}


def speed(source: Path, command: list[str], scratch: Path) -> float:
    """Images per second of a training; of other commands how many of them run in a second."""
    mine = {"PYTHONPATH": str(source), "NNKIT_RUNS": str(scratch / "runs")}
    mine["NNKIT_CACHE"] = str(scratch / f"cache-{source.resolve().parent.name}")  # formats may differ
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "nnkit", *command],
        env={**os.environ, **mine},
        capture_output=True,
        text=True,
        check=True,
        cwd=scratch,
    )
    seconds = time.perf_counter() - started
    return float(json.loads(done.stdout)["images_per_s"]) if command[0] == "train" else 1 / seconds


def main() -> None:
    """Print a row per command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--after", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    print("| command | before | after | after / before |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for name, command in COMMANDS.items():
            sources, found = (given.before.resolve(), given.after.resolve()), {0: [], 1: []}
            for number in range(given.rounds + 1):  # the first warms up
                for side in (0, 1) if number % 2 else (1, 0):
                    value = speed(sources[side], command, Path(folder))
                    if number:
                        found[side].append(value)
            ratios = sorted(after / before for before, after in zip(found[0], found[1], strict=True))
            before, after = (statistics.median(found[side]) for side in (0, 1))
            print(f"| {name} | {_shown(before)} | {_shown(after)} | {statistics.median(ratios):.2f} ", end="")
            print(f"[{ratios[0]:.2f}, {ratios[-1]:.2f}] |", flush=True)


def _shown(value: float) -> str:
    return f"{value:,.0f} images/s" if value > 100 else f"{1e3 / value:.0f} ms"


if __name__ == "__main__":
    main()
