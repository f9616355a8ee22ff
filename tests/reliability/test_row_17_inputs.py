"""Row 17: whatever is given to any option, one message, exit 1 or 2, no traceback, nothing written."""

import json
import os

import pytest

from nnkit.cli.main import run

VALUES = {
    "none": "none",
    "braces": "{}",
    "empty": "",
    "minus-one": "-1",
    "infinite": "1e999",
    "nan": "nan",
    "long": "x" * 10_000,
    "unicode": "ünïcødé ☃",
    "escape": "\x1b[31m",
    "nul": "a\0b",
    "folder": "FOLDER",
    "file": "FILE",
}
OPTIONS = [
    "--dataset",
    "--model",
    "--loss",
    "--stop",
    "--optimizer",
    "--lr",
    "--schedule",
    "--batch-size",
    "--epochs",
    "--augment",
    "--precision",
    "--order",
    "--clip",
    "--label-smoothing",
    "--ema",
    "--limit",
    "--seed",
    "--device",
    "--threads",
    "--config",
    "--set",
]
VALID = {("--schedule", "none"), ("--augment", "none")}


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("text")
    yield tmp_path
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def real(value):
    return {"FOLDER": "folder", "FILE": "file"}.get(value, value)


def refused(arguments, capsys):
    code = run([*arguments, "--json"])
    out, err = capsys.readouterr()
    assert code in (1, 2), (arguments[:3], out, err)
    assert out == ""
    assert "Traceback" not in err
    assert "\x1b" not in err
    assert "looks like a bug" not in err, err
    assert len(err) < 2500
    body = json.loads(err.splitlines()[-1])["error"]
    assert body["code"] == code
    assert body["message"]


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("option", OPTIONS)
def test_train_refuses(option, value, place, capsys):
    if (option, value) in VALID:
        pytest.skip("a value that this option takes")
    refused(["train", option, real(value), "--dry-run"], capsys)


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize(
    "command", [["list"], ["info"], ["evaluate"], ["runs", "show"], ["train"], [], ["info", "max", "--group"]]
)
def test_arguments_are_refused(command, value, place, capsys):
    refused([*command, real(value)], capsys)


@pytest.mark.parametrize("option", ["--data-root", "--runs-dir", "--out"])
@pytest.mark.parametrize("value", ["", "a\0b"])
def test_an_empty_or_impossible_path_is_refused(option, value, place, capsys):
    refused(["train", option, value, "--dry-run"], capsys)
