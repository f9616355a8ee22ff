import os
import subprocess
import sys

import pytest
import torch

from golden_files import check_golden
from nnkit.cli.main import COMMANDS, run

MINE = {
    "nnkit": [],
    "train": ["train"],
    "evaluate": ["evaluate"],
    "list": ["list"],
    "info": ["info"],
    "doctor": ["doctor"],
    "runs": ["runs"],
    "runs-list": ["runs", "list"],
    "runs-show": ["runs", "show"],
    "cache": ["cache"],
    "cache-list": ["cache", "list"],
    "cache-clear": ["cache", "clear"],
    "runs-verify": ["runs", "verify"],
}


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("name", MINE)
def test_help_is_as_it_was_agreed(name, capsys):
    assert run([*MINE[name], "--help"]) == 0
    check_golden(f"cli/{name}.txt", capsys.readouterr().out.rstrip("\n"))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_helps_in_both_spellings_with_an_example(command, capsys):
    assert run([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert run([command, "-h"]) == 0
    assert capsys.readouterr().out == text
    assert f"nnkit {command}" in text.partition("Example")[2]
    assert max(map(len, text.splitlines())) <= 100  # an example may be longer than the rest


def test_nothing_to_do_shows_the_help(capsys):
    assert run([]) == 0
    assert "Usage: nnkit" in capsys.readouterr().out


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "nnkit", "--version"], capture_output=True, text=True)
    assert done.stdout.startswith("nnkit ")
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trian"], "Did you mean 'train'"),
        (["train", "--epoch", "3"], "--epochs"),
        (["train", "mnist"], "did you mean --dataset mnist?"),
        (["train", "varres-net:width=8"], "did you mean --model varres-net:width=8?"),
        (["train", "--set", "model.widht=3"], "--set model=NAME"),
        (["train", "--set", "epohcs=3"], 'did you mean "epochs"?'),
        (["train", "--device", "gpu"], "auto, cpu, cuda"),
        (["list", "model"], 'did you mean "models"?'),
        (["info", "varesnet"], 'did you mean "varres-net"?'),
        (["info", "patience:patience=x"], "expected int"),
        (["runs"], "nnkit runs --help"),
    ],
)
def test_a_newcomers_mistake_gets_one_message_that_helps(arguments, words, capsys):
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert len(err) < 400


def test_a_bug_shows_a_traceback_with_debug_alone(monkeypatch, capsys):
    def broken(*_args):
        raise RuntimeError("oh")

    monkeypatch.setattr("nnkit.studies.list_.list_components", broken)
    assert run(["list"]) == 1
    assert "Traceback" not in capsys.readouterr().err
    assert run(["list", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_help_does_not_depend_on_the_environment_of_colours(monkeypatch, capsys):
    monkeypatch.setitem(os.environ, "FORCE_COLOR", "1")
    run(["--help"])
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_out_of_memory_is_no_bug_of_nnkits(error, monkeypatch, capsys):
    def broken(*parts, **more):
        raise error

    monkeypatch.setattr("nnkit.studies.train.experiment._make_augmentations", broken)
    assert run(["train", "--epochs", "1"]) == 1
    err = capsys.readouterr().err
    assert "out of memory" in err
    assert "lower --batch-size" in err
    assert "bug" not in err
