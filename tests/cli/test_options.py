"""Every option of the commands that take a configuration sets its own value there, and no other."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from cli.cli_plugin import Placed
from cli.conftest import Answer
from nnkit.cli.main import COMMANDS, make_command

PLACES = {
    "--threads": ("3", 3),
    "--data-root": ("there", "there"),
    "--download": (None, True),
}
TRANSFORM = "cifar-transform:source=synthetic,seed=1"
OPTIONS: Mapping[str, Mapping[str, tuple[str | None, Any]]] = {
    "train": {
        **PLACES,
        "--runs-dir": ("kept", "kept"),
        "--device": ("cpu", "cpu"),
        "--dataset": ("tiny:noise=3.0", "tiny:noise=3.0"),
        "--model": ("mnist-convnet:conv=unfold", "mnist-convnet:conv=unfold"),
        "--loss": ("mse", "mse"),
        "--stop": ("half-level", ["half-level"]),
        "--metric": ("top-k:k=3", ["top-k:k=3"]),
        "--tracker": ("silent", ["silent"]),
        "--class-weights": ("balanced", "balanced"),
        "--sampler": ("balanced", "balanced"),
        "--optimizer": ("sgd", {"name": "sgd", "lr": 0.001}),
        "--lr": ("0.25", {"name": "adam", "lr": 0.25}),
        "--schedule": ("cosine", "cosine"),
        "--batch-size": ("7", 7),
        "--epochs": ("3", 3),
        "--augment": ("rotate", ["rotate"]),
        "--bucketing": ("max_buckets=3", {"max_buckets": 3}),
        "--precision": ("bf16", "bf16"),
        "--compile": (None, True),
        "--monitor": ("loss", "loss"),
        "--order": ("by-resolution", "by-resolution"),
        "--solver": ("als", "least-squares"),
        "--clip": ("0.5", 0.5),
        "--label-smoothing": ("0.125", 0.125),
        "--ema": ("0.75", 0.75),
        "--limit": ("11", 11),
        "--accumulate": ("3", 3),
        "--on-oom": ("shrink", "shrink"),
        "--checkpoint-every": ("5min", "5min"),
        "--keep-checkpoints": ("4", 4),
        "--deterministic": (None, True),
        "--seeds": ("3,5-6", [3, 5, 6]),
        "--jobs": ("1", 1),
        "--no-test": (None, False),
        "--out": ("new", "new"),
        "--seed": ("5", 5),
    },
    "evaluate": {
        **PLACES,
        "--device": ("cpu", "cpu"),
        "--split": ("val", "val"),
        "--dataset": ("digits", "digits"),
        "--metric": ("accuracy", ["accuracy"]),
        "--batch-size": ("7", 7),
        "--limit": ("11", 11),
    },
    "compare-pooling": {
        **PLACES,
        "--runs-dir": ("kept", "kept"),
        "--device": ("cpu", "cpu"),
        "--dataset": ("digits", "digits"),
        "--pooling": ("amax", ["amax"]),
        "--model": ("varres-plus", "varres-plus"),
        "--budget": ("5000", 5000),
        "--vary": ("in_channels", "in_channels"),
        "--seeds": ("3,5-6", [3, 5, 6]),
        "--epochs": ("3", 3),
        "--lr": ("0.25", 0.25),
        "--batch-size": ("7", 7),
        "--bucketing": ("resize_policy=pad,size=70x80", {"resize_policy": "pad", "size": "70x80"}),
        "--precision": ("bf16", "bf16"),
        "--limit": ("11", 11),
        "--jobs": ("2", 2),
        "--out": ("new", "new"),
    },
    "bench": {
        **PLACES,
        "--runs-dir": ("kept", "kept"),
        "--dataset": (TRANSFORM, TRANSFORM),
        "--model": ("linear", ["linear"]),
        "--batch-size": ("4,8", [4, 8]),
        "--device": ("cpu,cuda", ["cpu", "cuda"]),
        "--num-workers": ("0,1", [0, 1]),
        "--shuffle": ("true,false", [True, False]),
        "--drop-last": ("true", [True]),
        "--pin-memory": ("false,true", [False, True]),
        "--loader": ("dataloader", "dataloader"),
        "--input": ("uint8", ["uint8"]),
        "--compile": (None, True),
        "--repeats": ("5", 5),
        "--min-effect": ("0.25", 0.25),
        "--preset": ("report-30", "report-30"),
        "--limit": ("11", 11),
        "--out": ("new", "new"),
        "--seed": ("5", 5),
    },
}  # fmt: skip
"""An example of each option, and the value that the configuration then has."""
KEY_OF = {"--no-test": "test"}
LR = ("train", "--lr")
"""It is written into the optimizer's spec."""
ALSO = {
    "--num-workers": ("--loader", "dataloader"),
    "--pin-memory": ("--loader", "dataloader"),
    "--solver": ("--dataset", TRANSFORM, "--model", "separable"),
}
"""What an option asks for beside it."""
ELSEWHERE = {"--resume"}
"""It wants a run: tests/reliability/test_row_06_resume_settings.py."""
GENERAL = {"--config", "--set", "--dry-run", "--json", "--quiet", "--debug", "--help", "-h"}

pytestmark = pytest.mark.usefixtures("plugins")


def options_of(name: str) -> set[str]:
    command = make_command(name, COMMANDS[name])
    return {next(iter(parameter.opts)) for parameter in command.params if parameter.opts[0].startswith("-")}


def argument_of(command: str) -> list[str]:
    return ["."] if command == "evaluate" else []


@pytest.mark.parametrize("command", OPTIONS)
def test_every_option_of_a_command_has_an_example_here(command: str) -> None:
    assert command in COMMANDS
    assert set(OPTIONS[command]) == options_of(command) - GENERAL - ELSEWHERE


@pytest.mark.parametrize(
    ("command", "option"), [(command, o) for command in OPTIONS for o in OPTIONS[command]]
)
def test_an_option_sets_its_own_value_and_says_so(
    command: str, option: str, answer: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text, value = OPTIONS[command][option]
    start = [command, *argument_of(command), *ALSO.get(option, ()), "--dry-run"]
    words = [option] if text is None else [option, text]
    (code, plain, _), (again, changed, _) = answer(*start), answer(*start, *words)
    assert code == again == 0
    key = KEY_OF.get(option, option[2:].replace("-", "_")) if (command, option) != LR else "optimizer"
    assert changed["schema"] == f"nnkit.{command}.dry-run/1"
    assert changed["config"][key] == value
    origin = "optimizer.lr" if (command, option) == LR else key
    assert changed["origins"][origin] == f"option {'--test' if option == '--no-test' else option}"
    if (command, option) == ("train", "--seeds"):
        assert "seed" not in changed["config"]  # whose place they take
        del plain["config"]["seed"]
    if option == "--preset":
        assert changed["config"]["repeats"] == 30
    elif option not in ("--dataset", "--optimizer", "--solver"):  # of which other values follow
        assert {**changed["config"], key: None} == {**plain["config"], key: None}
    assert plain["config"].get(key) != value
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "option", "values", "wanted"),
    [
        ("train", "--stop", ("half-level", "time-limit"), ["half-level", "time-limit"]),
        ("train", "--augment", ("crop", "flip", "crop"), ["crop", "flip", "crop"]),
        ("train", "--metric", ("ssim", "top-k"), ["ssim", "top-k"]),
        ("compare-pooling", "--pooling", ("amax", "avg"), ["amax", "avg"]),
        ("bench", "--model", ("linear", "separable"), ["linear", "separable"]),
    ],
)  # fmt: skip
def test_a_repeated_option_keeps_every_value_in_order(
    command: str, option: str, values: tuple[str, ...], wanted: list[Any], answer: Callable[..., Answer]
) -> None:
    code, document, _ = answer(command, *[word for value in values for word in (option, value)], "--dry-run")
    assert code == 0
    assert document["config"][option[2:]] == wanted


@pytest.mark.parametrize("command", OPTIONS)
def test_files_and_sets_are_read_in_their_order(
    command: str, answer: Callable[..., Answer], tmp_path: Path
) -> None:
    first, second = tmp_path / "1.toml", tmp_path / "2.toml"
    first.write_text("limit = 3\nbatch_size = 4\nthreads = 1\n")
    second.write_text("limit = 5\nbatch_size = 6\n")
    start = [command, *argument_of(command), "--dry-run"]
    both = ["--config", first, "--config", second, "--set", "limit=9"]
    _, document, _ = answer(*start, *both)
    config, origins = document["config"], document["origins"]
    size = [6] if command == "bench" else 6
    assert (config["limit"], config["batch_size"], config["threads"]) == (9, size, 1)
    assert origins["limit"] == "--set"
    assert origins["batch_size"] == f"file {second}"
    assert origins["threads"] == f"file {first}"


def test_the_options_of_train_reach_the_run(
    answer: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the dry run shows is what the run's own configuration says, and what it did."""
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])
    words = [
        "train", "--dataset", "placed:noise=100.0", "--epochs", 2, "--batch-size", 9, "--limit", 18,
        "--seed", 3,
        "--lr", 0.01, "--schedule", "cosine", "--ema", 0.5, "--clip", 2.0, "--no-test", "--optimizer", "sgd",
        "--stop", "threshold:metric=val_loss,below=0.0", "--augment", "rotate", "--label-smoothing", 0.1,
        "--precision", "bf16", "--threads", 1, "--device", "cpu", "--out", tmp_path / "run",
        "--data-root", tmp_path / "data", "--download",
    ]  # fmt: skip
    _, dry, _ = answer(*words, "--dry-run")
    Placed.places.clear()
    code, document, err = answer(*words)
    assert code == 0, err
    written = tomllib.loads((tmp_path / "run" / "config.toml").read_text())
    here = {"out", "runs_dir"}
    assert {k: v for k, v in dry["config"].items() if k not in here} == {
        k: v for k, v in written.items() if k not in here
    }
    assert (document["run_dir"], document["epochs"], document["test"]) == (str(tmp_path / "run"), 2, None)
    assert (document["seed"], document["device"]) == (3, "cpu")
    (place,) = Placed.places
    assert (place.root, place.download) == (tmp_path / "data", True)
