"""`nnkit compare-pooling` from outside: one JSON document, a dry run, and signals that leave no process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nnkit.cli.main import run

QUICK = ["--limit", "40", "--epochs", "1", "--budget", "6000", "--device", "cpu", "--threads", "1"]


@pytest.fixture(autouse=True)
def _hangup_is_heard() -> Iterator[None]:
    """Also where the tests run under nohup, which ignores it; children inherit that."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def start(out: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "nnkit", "compare-pooling", *QUICK, "--out", str(out), *options]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def group_is_gone(group: int, within_s: float = 10.0) -> bool:
    """Whether every process of a group ends in time; those already dead but not yet reaped do not count."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        states = subprocess.run(
            ["ps", "-o", "stat=", "-g", str(group)], capture_output=True, text=True, check=False
        ).stdout.split()
        if all(state.startswith("Z") for state in states):
            return True
        time.sleep(0.1)
    return False


def cells_finished(out: Path) -> set[Path]:
    states = {path.parent: json.loads(path.read_text())["state"] for path in out.glob("cells/*/status.json")}
    return {cell for cell, state in states.items() if state == "finished"}


def wait_for_a_cell(out: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not cells_finished(out):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_dry_run_shows_the_comparison_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new"
    arguments = ["--pooling", "amax", "--pooling", "avg", "--seeds", "0,1,5", "--out", str(out)]
    assert run(["compare-pooling", *arguments, "--dry-run", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["config"]["pooling"] == ["amax", "avg"]
    assert document["config"]["seeds"] == [0, 1, 5]
    assert document["config"]["budget"] == 29066
    assert document["origins"]["seeds"] == "option --seeds"
    assert not out.exists()


@pytest.mark.parametrize(
    "wrong", ["--seeds=", "--seeds=1-", "--budget=-1", "--pooling=", "--jobs=0", "--lr=nan"]
)
def test_a_bad_value_is_exit_2_and_one_message(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare-pooling", wrong, "--dry-run"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("nnkit: error:") == 1


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
@pytest.mark.parametrize(
    ("number", "code", "group"),
    [
        (signal.SIGINT, 130, True),
        (signal.SIGTERM, 143, False),
        (signal.SIGHUP, 129, True),
        (signal.SIGKILL, -signal.SIGKILL, False),
    ],
)
def test_a_stopped_comparison_leaves_no_process_and_goes_on(
    tmp_path: Path, number: signal.Signals, code: int, group: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "stopped"
    process = start(out, "--seeds", "0-1", "--jobs", "2")
    wait_for_a_cell(out, process)
    assert not group_is_gone(process.pid, within_s=0.1)
    (os.killpg if group else os.kill)(process.pid, number)
    asked = time.monotonic()
    errors = process.communicate(timeout=60)[1]
    assert time.monotonic() - asked < 5
    assert process.returncode == code, errors
    assert group_is_gone(process.pid)
    if number != signal.SIGKILL:
        assert f"--out {out}" in errors
    assert "Traceback" not in errors

    finished = cells_finished(out)
    before = {path: path.stat().st_mtime_ns for cell in finished for path in cell.rglob("*")}
    assert 1 <= len(finished) <= 4
    assert run(["compare-pooling", *QUICK, "--seeds", "0-1", "--out", str(out), "--json"]) == 0
    shown = capsys.readouterr()
    assert f"4 cells, {len(finished)} done already" in shown.err
    assert {path: path.stat().st_mtime_ns for path in before} == before
    values = [row["accuracy"]["values"] for row in json.loads(shown.out)["results"]]
    assert all(value is not None for row in values for value in row)
