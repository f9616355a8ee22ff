"""How often `nnkit bench compare --fail-above` is right: nothing changed, and a planted slow-down.

    python benchmarks/compare_noise.py --times 20 --runs 5 --fail-above 5%

Each comparison measures both sides anew with --runs. For the slow-down, side b's interpreter is this script:
it runs nnkit with a batched pass that goes on, by repeating its work, until --slow times its time is over.
Prints how many comparisons failed the gate, passed it, and could not tell.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

SETTINGS = "limit = 1000\nrepeats = 10\nthreads = 1\nbatch_size = [256]\n"


def run_slowed(slow: float, words: list[str]) -> int:
    """nnkit's command line `words` ("-m nnkit ..."), with batched arms `slow` times as slow."""
    from nnkit.cli.main import run
    from nnkit.studies.bench.arms import BatchArm

    prepare = BatchArm.prepare

    def prepare_slowed(arm, setting):
        run_pass = prepare(arm, setting)
        batch = arm.images[:64].to(setting.device)

        def run_longer():
            started = time.perf_counter()
            output = run_pass()
            until = time.perf_counter() + (slow - 1) * (time.perf_counter() - started)
            while time.perf_counter() < until:
                batch.clone()
            return output

        return run_longer

    BatchArm.prepare = prepare_slowed
    return run(words[2:])


def main() -> None:
    """Repeat both kinds of comparison and print their rates."""
    parser = argparse.ArgumentParser()
    for name, default in (("times", 20), ("runs", 5), ("fail-above", "5%"), ("slow", 1.2)):
        parser.add_argument(f"--{name}", type=type(default), default=default)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "settings.toml").write_text(SETTINGS)
        slowed = folder / "python"
        slowed.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).resolve()} {asked.slow} "$@"\n')
        slowed.chmod(0o755)
        words = [sys.executable, "-m", "nnkit", "bench", "compare", *[str(folder / "settings.toml")] * 2]
        words += ["--runs", str(asked.runs), "--fail-above", asked.fail_above, "--runs-dir", name, "--json"]
        for title, more in (("nothing changed", []), (f"{asked.slow} times", ["--python-b", str(slowed)])):
            told = [subprocess.run([*words, *more], capture_output=True).stdout for _ in range(asked.times)]
            print(title, dict(Counter(json.loads(text)["gate"] for text in told)), flush=True)


if __name__ == "__main__":
    sys.exit(run_slowed(float(sys.argv[1]), sys.argv[2:]) if "-m" in sys.argv else main())
