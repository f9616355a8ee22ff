"""Row 22: a reader that goes away, no terminal, NO_COLOR, 40 columns."""

import json
import os
import subprocess
import sys

import pytest

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


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"COLUMNS": "40"}, {"TERM": "dumb"}])
@pytest.mark.parametrize(
    "command", [["list"], ["info", "patience"], ["runs", "list"], ["train", "--dry-run"]]
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
