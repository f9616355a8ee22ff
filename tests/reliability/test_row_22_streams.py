"""A reader that goes away, no terminal, NO_COLOR, 40 columns.

Row 22 of docs/reliability.md.
"""

import json
import os
import subprocess
import sys

import pytest

from fake_plugins import write_plugin
from nnkit.cli.main import run

NNKIT = f"{sys.executable} -m nnkit"


@pytest.mark.parametrize(
    "command", ["list | head -1", "--help | true", "list --json | head -c 1", "list | true"]
)
def test_a_reader_that_goes_away_is_no_error(command):
    done = subprocess.run(
        ["bash", "-c", f"{NNKIT} {command}; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert done.returncode == 0


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_is_no_error(closed):
    done = subprocess.run(
        ["bash", "-c", f"{NNKIT} list {closed}"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert done.stderr == ""
    assert ("varres-net" in done.stdout) == (">&-" not in closed.replace("2>&-", ""))


LOUD = """
import os, subprocess, sys
print("at import")
import torch
class Loud(torch.nn.Module):
    def __init__(self, num_classes: int):
        super().__init__()
        print("when made")
        self.linear = torch.nn.Linear(16, num_classes)
    def forward(self, inputs):
        print("in forward")
        os.write(1, b"straight to the descriptor\\n")
        subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
        return self.linear(inputs[:, :, ::7, ::7].flatten(1))
"""


def test_what_a_plugin_prints_goes_to_stderr_and_stdout_holds_one_document(tmp_path):
    write_plugin(tmp_path, "loud", "[nnkit.models]\nloud = loud:Loud\n", module=LOUD)
    options = ["--model", "loud", "--dataset", "digits", "--limit", "40", "--epochs", "1", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "nnkit", "train", *options, "--out", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["schema"] == "nnkit.train/1"
    for said in ("at import", "when made", "in forward", "straight to the descriptor", "from a child"):
        assert said in done.stderr


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"COLUMNS": "40"}, {"TERM": "dumb"}])
@pytest.mark.parametrize(
    "command", [["list"], ["info", "patience"], ["runs", "list"], ["cache", "list"], ["train", "--dry-run"]]
)
def test_no_escape_bytes_and_strict_json(command, environment, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    for key, value in environment.items():
        monkeypatch.setitem(os.environ, key, value)
    assert run(command) == 0
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert out.strip()
    assert run([*command, "--json"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out, parse_constant=pytest.fail)["schema"].startswith("nnkit.")
