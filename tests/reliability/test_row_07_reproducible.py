"""The same seed in two processes gives equal weights and metrics, another seed others.

Row 7 of docs/reliability.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import nnkit
from tiny_plugin import TinyPlugin

SCRIPT = """
import hashlib, json, sys
from pathlib import Path
import nnkit
from checkpoint_files import best_file
from nnkit.present import figures
figures.draw_training = lambda *parts: []
found = []
for seed in (0, 1):
    result = nnkit.train(
        dataset="tiny:several=true", model="tiny-net:dropout=0.2,norm=true", augment="affine", epochs=2,
        batch_size=16, seed=seed, threads=1, runs_dir=Path(sys.argv[1]), deterministic=sys.argv[2] == "yes",
    )
    best = best_file(result.run_dir).read_bytes()
    lines = [json.loads(line) for line in (result.run_dir / "metrics.jsonl").read_text().splitlines()]
    timed = {"train_s", "data_wait_s", "seconds", "images_per_s"}
    metrics = [{key: line[key] for key in line if key not in timed} for line in lines]
    found.append([hashlib.sha256(best).hexdigest(), metrics, result.test.document()])
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.parametrize("deterministic", ["no", "yes"])
def test_two_processes_agree_on_a_seed_and_two_seeds_do_not(
    tiny: TinyPlugin, tmp_path: Path, deterministic: str
) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(tmp_path / number), deterministic],
            env={**tiny.env, "PYTHONHASHSEED": number},
            stdout=subprocess.PIPE,
        )
        for number in ("1", "2")
    ]
    first, second = (json.loads(process.communicate(timeout=120)[0]) for process in processes)
    assert first == second
    assert first[0][0] != first[1][0]
    assert first[0][1] != first[1][1]
    # this process is a third: it trains a run of the first again
    run = min((tmp_path / "1" / "train").iterdir())
    verified = nnkit.verify_run(run)
    assert verified.equal, verified.first_difference
    assert "variable PYTHONHASHSEED" in {change.name for change in verified.environment_changes}
    config = (run / "config.toml").read_text()
    seed = int(config.partition("seed = ")[2].splitlines()[0])
    (run / "config.toml").write_text(config.replace(f"seed = {seed}", f"seed = {1 - seed}"))
    other = nnkit.verify_run(run)
    assert (other.weights_equal, other.metrics_equal) == (False, False)
