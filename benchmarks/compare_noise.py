"""How often `nnkit bench compare --fail-above` is right where nothing changed, and at a planted slow-down.

    python benchmarks/compare_noise.py --times 20 --runs 5 --fail-above 5%

For the slow-down, side b's interpreter is this script: nnkit with batched arms that repeat work.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path


def _run_slowed(slow: float, words: list[str]) -> int:
    from nnkit.cli.main import run
    from nnkit.studies.bench.arms import BatchArm

    prepare = BatchArm.prepare

    def prepare_slowed(arm, setting):
        run_pass, batch = prepare(arm, setting), arm.images[:64].to(setting.device)

        def run_longer():
            started = time.perf_counter()
            run_pass()
            until = started + slow * (time.perf_counter() - started)
            while time.perf_counter() < until:
                batch.clone()

        return run_longer

    BatchArm.prepare = prepare_slowed
    return run(words[2:])


def main() -> None:
    """Repeat both kinds of comparison; print how many failed the gate, passed it, and could not tell."""
    parser = argparse.ArgumentParser()
    for name, value in {"times": 20, "runs": 5, "fail-above": "5%", "slow": 1.2}.items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        toml, slowed = Path(name, "settings.toml"), Path(name, "python")
        toml.write_text("limit = 1000\nthreads = 1\n")
        slowed.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).resolve()} {asked.slow} "$@"\n')
        slowed.chmod(0o755)
        words = f"-m nnkit bench compare {toml} {toml} --runs {asked.runs} --runs-dir {name} --json"
        for title, more in ("nothing changed", []), (f"{asked.slow} times", ["--python-b", str(slowed)]):
            command = [sys.executable, *words.split(), "--fail-above", asked.fail_above, *more]
            told = [subprocess.run(command, stdout=subprocess.PIPE).stdout for _ in range(asked.times)]
            print(title, dict(Counter(json.loads(text)["gate"] for text in told)), flush=True)


if __name__ == "__main__":
    sys.exit(_run_slowed(float(sys.argv[1]), sys.argv[2:]) if "-m" in sys.argv else main())
