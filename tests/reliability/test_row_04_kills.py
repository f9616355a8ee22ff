"""Fifty kills at random moments and a resume after each: every time a whole checkpoint, and the same bits.

Row 4 of docs/reliability.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tiny_plugin import TinyPlugin

KILLER = """
import json, os, random, shutil, signal, sys, threading, traceback
from pathlib import Path
import torch
import nnkit
from nnkit.present import figures
from nnkit.runs.directory import RunDirectory
from nnkit.runs.lines import read_records
from nnkit.studies.train.resuming import read_newest

torch.set_num_threads(1)
figures.draw_training = lambda *parts: []
out, kills = Path(sys.argv[1]), int(sys.argv[2])
OPTIONS = dict(
    dataset="tiny:several=true", model="tiny-net:dropout=0.2,norm=true", augment="affine", ema=0.5,
    batch_size=16, epochs=60, checkpoint_every="1", stop=["window:metric=val_loss,epochs=50,min_delta=1e-9"],
)

def kill_soon(seconds):
    threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()

class Killer:
    # Kills this process a moment after its n-th step: in a step, a save, a validation.

    def __init__(self, steps, seconds):
        self.left, self.seconds = steps, seconds

    def on_step(self, step):
        self.left -= 1
        if self.left == 0:
            kill_soon(self.seconds)

    def on_epoch(self, epoch):
        pass

def start(how=None, **options):
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        if how is not None and how[0] == 0:
            kill_soon(how[1])  # before the first step, as it may be
        nnkit.train(**options, observers=[Killer(*how)] if how else [])
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)

def steps_of(folder):
    states = RunDirectory(folder).checkpoints.states()
    return states[0][0].step if states else 0

whole = out / "whole"
assert os.waitpid(start(**OPTIONS, out=whole), 0)[1] == 0
rng, broken, steps = random.Random(0), out / "broken", []
options = dict(OPTIONS, out=broken)
for number in range(kills):
    how = (rng.choice([0, 1, 2, 3, 4, 5]), rng.uniform(0, 0.05))
    status = os.waitpid(start(how, **options), 0)[1]
    assert os.WIFSIGNALED(status), status
    folder = RunDirectory(broken)
    if folder.exists() and folder.checkpoints.states():
        read_newest(folder)  # it loads
        read_records(folder.log_path)
        steps.append(steps_of(broken))
        options = dict(resume=broken)
    elif broken.exists():
        shutil.rmtree(broken)  # it never began
assert RunDirectory(broken).state() == "killed", RunDirectory(broken).state()
assert os.waitpid(start(**options), 0)[1] == 0
print(json.dumps({"steps": steps, "leftovers": [str(p) for p in RunDirectory(broken).path.rglob("*.tmp")]}))
"""
"""A process that has torch loaded forks the runs that it kills: each starts in milliseconds."""
TIMES = ("train_s", "seconds", "data_wait_s", "images_per_s")


@pytest.mark.slow
def test_fifty_kills_and_resumes_end_with_the_same_bits(tiny: TinyPlugin, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(tmp_path), "50"],
        env={**tiny.env, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["steps"] == sorted(found["steps"]), "no kill loses a step that was saved"
    assert len(set(found["steps"])) > 15, "the kills were at many moments"
    assert not found["leftovers"]

    def records(run: str) -> list[dict[str, object]]:
        lines = (tmp_path / run / "metrics.jsonl").read_text().splitlines()
        return [{k: v for k, v in json.loads(line).items() if k not in TIMES} for line in lines]

    def weights(run: str) -> list[tuple[str, bytes]]:
        files = sorted((tmp_path / run / "checkpoints").glob("best-*/*"))
        return [(path.parent.name, path.read_bytes()) for path in files]

    assert records("broken") == records("whole")
    assert weights("broken")[-1][1] == weights("whole")[-1][1]
