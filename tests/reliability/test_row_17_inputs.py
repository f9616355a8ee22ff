"""Whatever is given to any option, one message, exit 1 or 2, no traceback, nothing written.

Row 17 of docs/reliability.md.
"""

import importlib
import json
import os

import pytest

from nnkit.cli.main import COMMANDS, run
from nnkit.options import flag, option_of

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
PATHS = {"--out", "--runs-dir", "--data-root", "--config"}
TEXTS = {"--monitor", "--vary", "--match", "--group", "--spec", "--fail-above", "--tolerance", "--input"}
"""What such an option may be is judged by the study, once there is something to judge it by."""
VALID = {("--class-weights", "none"), ("--schedule", "none"), ("--augment", "none"), ("info", "none")}
"""Values that an option or a command takes."""
COMPLETE = {
    "train": ["train", "--dry-run"],
    "evaluate": ["evaluate", "folder", "--dry-run"],
    "compare-pooling": ["compare-pooling", "--dry-run"],
    "bench": ["bench", "--dry-run"],
    "bench compare": ["bench", "compare", "folder", "folder"],
    "bench ops": ["bench", "ops"],
    "count-params": ["count-params", "linear"],
    "info": ["info", "max"],
    "new-plugin": ["new-plugin", "nnkit-neat"],
    "check-plugin": ["check-plugin", "no-such"],
    "doctor": ["doctor"],
    "runs list": ["runs", "list"],
    "runs show": ["runs", "show", "folder"],
    "cache clear": ["cache", "clear"],
    "runs verify": ["runs", "verify", "folder"],
}
"""What a command needs beside the option that is tried."""


def models(entries=COMMANDS, before=()):
    for name, entry in entries.items():
        if entry.model:
            module, _, attribute = entry.model.partition(":")
            model = getattr(importlib.import_module(f"nnkit.studies.{module}"), attribute)
            yield " ".join([*before, name]), model, entry
        yield from models(entry.subcommands, (*before, name))


def options():
    """Every option of every command that takes a value."""
    for command, model, entry in models():
        for name, info in model.model_fields.items():
            if info.annotation is not bool and option_of(info).shown and not option_of(info).argument:
                yield command, flag(name)
        if entry.layered:
            yield from ((command, option) for option in ("--config", "--set"))


TRIED = [pair for pair in options() if pair[1] not in TEXTS and pair != ("bench", "--model")]


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
    for sentence in ("Input should", "input should", "value error", "string should", "unable to parse"):
        assert sentence not in err, err
    assert len(err) < 2500
    body = json.loads(err.splitlines()[-1])["error"]
    assert body["code"] == code
    assert body["message"]


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize(("command", "option"), TRIED, ids=lambda part: part)
def test_every_option_of_every_command_refuses_what_it_cannot_take(command, option, value, place, capsys):
    if (option, value) in VALID:
        pytest.skip("a value that this option takes")
    if option in PATHS - {"--config"} and value not in ("", "a\0b"):
        pytest.skip("a path")
    refused([*COMPLETE[command], option, real(value)], capsys)


def test_every_command_with_options_is_tried():
    assert {command for command, _, _ in models()} == set(COMPLETE)
    assert len(TRIED) > 80


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize(
    "command",
    [
        ["list"],
        ["info"],
        ["evaluate"],
        ["runs", "show"],
        ["runs", "verify"],
        ["train"],
        [],
        ["info", "max", "--group"],
    ],
)
def test_arguments_are_refused(command, value, place, capsys):
    if (" ".join(command), value) in VALID:
        pytest.skip("valid")
    refused([*command, real(value)], capsys)
