"""Row 19 of docs/reliability.md: one process writes a run, and what a dead one left stops nobody."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import nnkit
from nnkit.cli import main
from nnkit.errors import NnkitError, UsageError
from nnkit.runs.directory import RunDirectory
from tiny_plugin import TinyPlugin

RESUMES = """
import json, os, sys, time
import torch
from nnkit.cli import main
import nnkit
from nnkit.present import figures
from nnkit.studies.train import study

torch.set_num_threads(1)
figures.draw_training = lambda *parts: []
run, at = sys.argv[1], time.time() + 1.5
children = []
for number in range(20):
    pid = os.fork()
    if not pid:
        log = os.open(f"{run}-{number}.log", os.O_WRONLY | os.O_CREAT)
        os.dup2(log, 1), os.dup2(log, 2)
        time.sleep(max(0, at - time.time()))
        os._exit(main.run(["train", "--resume", run, "--epochs", "12"]))
    children.append(pid)
codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
said = [open(f"{run}-{number}.log").read() for number in range(20)]
print(json.dumps([codes, said]))
"""


@pytest.fixture
def finished(tiny: TinyPlugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])
    options: dict[str, Any] = {"dataset": "tiny", "limit": 30, "epochs": 1, "out": tmp_path / "run"}
    return nnkit.train(**options, model="tiny-net:slow_step_s=0.5").run_dir


@pytest.mark.slow
def test_of_twenty_resumes_of_one_run_one_goes_on(tiny: TinyPlugin, finished: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RESUMES, str(finished)],
        env=tiny.env, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    codes, said = json.loads(done.stdout.splitlines()[-1])
    assert sorted(codes) == [0, *[2] * 19], said
    refused = [text for code, text in zip(codes, said, strict=True) if code]
    assert all("is in use by process" in text for text in refused)
    assert [record["epoch"] for record in RunDirectory(finished).epochs()] == list(range(1, 13))


def test_the_lock_of_a_killed_process_stops_nobody(finished: Path) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            run = RunDirectory.reopen(finished)
            os.write(writing, b"x")
            signal.pause()
            run.close()
        finally:
            os._exit(1)
    try:
        os.close(writing)
        assert os.read(reading, 1) == b"x"
        with pytest.raises(UsageError, match="in use"):
            RunDirectory.reopen(finished)
    finally:
        os.close(reading)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert (finished / ".lock").is_file()
    assert nnkit.train(resume=finished, epochs=2).epochs == 2


def test_a_lock_that_is_a_folder_is_named(finished: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (finished / ".lock").unlink()
    (finished / ".lock").mkdir()
    assert main.run(["train", "--resume", str(finished), "--epochs", "2"]) == 1
    said = capfd.readouterr().err
    assert f"{finished / '.lock'} cannot be locked: Is a directory" in said
    assert main.run(["runs", "show", str(finished)]) == 0
    assert main.run(["evaluate", str(finished)]) == 0


def test_a_lock_that_may_not_be_written_is_named(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def refuse(path: Any, *more: Any, **named: Any) -> int:
        if str(path).endswith(".lock"):
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *more, **named)

    monkeypatch.setattr(os, "open", refuse)  # root may write everything
    with pytest.raises(NnkitError, match=r"\.lock cannot be locked: Permission denied"):
        nnkit.train(resume=finished, epochs=2)


def test_a_lock_that_is_a_folder_takes_no_new_run(tiny: TinyPlugin, tmp_path: Path) -> None:
    (tmp_path / "out/.lock").mkdir(parents=True)
    with pytest.raises(UsageError, match="is already there"):
        nnkit.train(dataset="tiny", out=tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".lock"]
