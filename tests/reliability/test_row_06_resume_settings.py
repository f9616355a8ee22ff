"""What a resumed run may change, what it may not, and what is said where it cannot go on.

Row 6 of docs/reliability.md.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import nnkit
from nnkit import files
from nnkit.cli import main
from nnkit.errors import CheckpointError, UsageError, WriteError
from nnkit.results.train import TrainResult
from nnkit.runs.directory import RunDirectory
from nnkit.studies.train.resuming import fixed_settings
from tiny_plugin import TinyPlugin

Train = Callable[..., TrainResult]


@pytest.fixture
def train(tiny: TinyPlugin, monkeypatch: pytest.MonkeyPatch) -> Train:
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])

    def run(**options: Any) -> TrainResult:
        base = {"dataset": "tiny", "epochs": 2, "batch_size": 16, "runs_dir": tiny.runs}
        return nnkit.train(**(options if "resume" in options else {**base, **options}))

    return run


def files_of(run: Path) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != ".lock"
    }


def test_a_run_from_before_a_setting_was_made_goes_on_with_its_default(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = ("metric", "class_weights", "sampler")
    with monkeypatch.context() as earlier:
        earlier.setattr(
            "nnkit.studies.train.saving.fixed_settings",
            lambda config: {k: v for k, v in fixed_settings(config).items() if k not in later},
        )
        first = train()
    path = first.run_dir / "config.toml"
    lines = [line for line in path.read_text().splitlines() if not line.startswith(later)]
    path.write_text("\n".join(lines) + "\n")
    assert train(resume=first.run_dir, epochs=3).best == train(epochs=3).best
    path.write_text(path.read_text().replace('sampler = "shuffle"', 'sampler = "balanced"'))
    with pytest.raises(CheckpointError, match="sampler: trained with 'shuffle', the file has 'balanced'"):
        train(resume=first.run_dir, epochs=4)


def test_more_epochs_continue_in_the_same_folder_and_the_configuration_says_so(
    train: Train, tiny: TinyPlugin
) -> None:
    first = train()
    more = train(resume=first.run_dir, epochs=5, keep_checkpoints=4, test=False)
    assert (more.run_dir, more.epochs) == (first.run_dir, 5)
    assert "resume" not in (first.run_dir / "config.toml").read_text()
    assert "epochs = 5" in (first.run_dir / "config.toml").read_text()
    folder = RunDirectory(first.run_dir)
    assert [record["epoch"] for record in folder.epochs()] == [1, 2, 3, 4, 5]
    assert [entry.epoch for entry, _ in folder.checkpoints.states()] == [5, 4, 3, 2]
    assert folder.state() == "finished"
    assert len(list(tiny.runs.rglob("status.json"))) == 1


def test_a_run_is_named_by_its_name_too(train: Train, tiny: TinyPlugin) -> None:
    first = train()
    assert train(resume=first.run_dir.name, runs_dir=tiny.runs, epochs=3).run_dir == first.run_dir


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"lr": 0.5}, "optimizer: the run has adam:lr=0.001, this asks for adam:lr=0.5"),
        ({"optimizer": "sgd"}, "optimizer: the run has adam:lr=0.001, this asks for sgd:lr=0.001"),
        ({"seed": 1}, "seed: the run has 0, this asks for 1"),
        (
            {"batch_size": 32, "ema": 0.5},
            "batch_size: the run has 16, this asks for 32\n  ema: the run has 0.0, this",
        ),
        ({"stop": ["patience:metric=val_loss,patience=1"]}, "stop: the run has none, this asks for patience"),
        ({"model": "tiny-net:norm=true"}, "model: the run has tiny-net, this asks for tiny-net:norm=true"),
        ({"limit": 10}, "limit: the run has none, this asks for 10"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_other_settings_are_refused_with_the_difference_and_nothing_is_touched(
    train: Train, changed: dict[str, Any], said: str
) -> None:
    first = train()
    before = files_of(first.run_dir)
    with pytest.raises(UsageError) as caught:
        train(resume=first.run_dir, epochs=3, **changed)
    assert said in caught.value.message
    assert "without --resume" in caught.value.hint
    assert files_of(first.run_dir) == before


@pytest.mark.parametrize("schedule", ["cosine", "one-cycle"])
def test_a_schedule_over_all_steps_takes_no_more_of_them(train: Train, schedule: str) -> None:
    first = train(schedule=schedule)
    with pytest.raises(UsageError, match=f"the schedule {schedule} ends with epoch 2"):
        train(resume=first.run_dir, epochs=3)


def test_a_finished_run_has_nothing_left(train: Train) -> None:
    first = train()
    with pytest.raises(UsageError, match=r"is finished after 2 epochs \(epochs\): nothing is left"):
        train(resume=first.run_dir)
    with pytest.raises(UsageError, match="has trained 2 epochs already, --epochs asks for 1"):
        train(resume=first.run_dir, epochs=1)
    assert RunDirectory(first.run_dir).state() == "finished"


def test_a_run_that_a_rule_stopped_goes_on_with_more_epochs(train: Train) -> None:
    first = train(stop=["threshold:metric=val_loss,below=9"], epochs=5)
    assert first.epochs == 1
    more = train(resume=first.run_dir, epochs=6)
    assert more.epochs == 2
    assert "threshold" in more.stopped_by


@pytest.mark.parametrize("stop", [[], ["threshold:metric=val_loss,below=9"]], ids=["epochs", "rule"])
def test_more_epochs_are_not_forgotten_by_a_kill_before_the_first_of_them(
    train: Train, monkeypatch: pytest.MonkeyPatch, stop: list[str]
) -> None:
    """config.toml has the new number by then, and the newest checkpoint says that training had ended."""
    first = train(stop=stop)

    class Killed(BaseException):
        pass

    def killed(*parts: Any, **named: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("nnkit.studies.train.study.start_state", killed)
        with pytest.raises(Killed):
            train(resume=first.run_dir, epochs=4)
    more = train(resume=first.run_dir)
    assert more.epochs == (first.epochs + 1 if stop else 4)


def test_other_data_is_refused(train: Train) -> None:
    first = train(dataset="tiny:classes=3")
    splits = RunDirectory(first.run_dir).splits()
    assert splits is not None
    RunDirectory(first.run_dir).write_splits({**splits, "train": splits["train"][1:]})
    with pytest.raises(
        UsageError, match="the split train is not the one that the run was trained on: it had 89"
    ):
        train(resume=first.run_dir, epochs=3)


def test_a_run_without_a_checkpoint_says_so(train: Train) -> None:
    first = train()
    shutil.rmtree(first.run_dir / "checkpoints")
    with pytest.raises(CheckpointError, match="holds no checkpoint to resume from"):
        train(resume=first.run_dir, epochs=3)
    (first.run_dir / "config.toml").unlink()
    with pytest.raises(CheckpointError, match=r"has no config\.toml"):
        train(resume=first.run_dir, epochs=3)


def test_a_run_made_elsewhere_and_moved_goes_on(train: Train, tmp_path: Path) -> None:
    whole = train(epochs=4)
    first = train()
    moved = tmp_path / "elsewhere" / "run"
    shutil.copytree(first.run_dir, moved)
    shutil.rmtree(first.run_dir)
    found = train(resume=moved, epochs=4)
    assert found.run_dir == moved
    assert found.best["metrics"]["loss"] == whole.best["metrics"]["loss"]


def test_a_run_in_use_is_refused(train: Train) -> None:
    first = train()
    held = RunDirectory.reopen(first.run_dir)
    try:
        with pytest.raises(UsageError, match="is in use by process"):
            train(resume=first.run_dir, epochs=3)
    finally:
        held.close()


@pytest.mark.parametrize("name", ["config.toml", "environment.json", "splits.safetensors"])
def test_a_run_that_cannot_resume_for_a_full_disk_is_not_left_running(
    train: Train, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    first = train()
    replacing = files.replacing

    def full(path: Path) -> Any:
        if path.name == name:
            raise WriteError(f"{path} cannot be written", OSError(28, "No space left on device"))
        return replacing(path)

    with monkeypatch.context() as patched:
        patched.setattr(files, "replacing", full)
        with pytest.raises(WriteError):
            train(resume=first.run_dir, epochs=3)
    status = RunDirectory(first.run_dir).status()
    assert status.state == "failed"
    assert name in str(status.reason)
    assert train(resume=first.run_dir, epochs=3).epochs == 3


def test_a_dry_run_shows_the_settings_of_the_run_and_trains_nothing(
    train: Train, capfd: pytest.CaptureFixture[str]
) -> None:
    run = train(dataset="tiny:several=true", ema=0.5).run_dir
    before = files_of(run)
    capfd.readouterr()
    assert main.run(["train", "--resume", str(run), "--epochs", "7", "--dry-run", "--json"]) == 0
    shown = json.loads(capfd.readouterr().out)
    assert (shown["config"]["dataset"], shown["config"]["ema"]) == ("tiny:several=true", 0.5)
    assert shown["config"]["epochs"] == 7
    assert shown["origins"]["epochs"] == "option --epochs"
    assert shown["origins"]["ema"] == f"file {run / 'config.toml'}"
    assert files_of(run) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--resume", "no-such-run"], "there is no run at no-such-run"),
        (["--resume", ""], "resume"),
        (["--resume", "RUN", "--out", "x"], "a run is resumed by itself and stays in its folder"),
        (["--checkpoint-every", "0"], "a number of steps such as 100, or a time such as 30s, 5min or 1h"),
        (["--checkpoint-every", "0s"], "a number of steps such as 100"),
        (["--checkpoint-every", "5 minutes"], "a number of steps such as 100"),
        (["--keep-checkpoints", "0"], "keep_checkpoints"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_mistakes_are_told_in_one_message(
    train: Train, capfd: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    run = str(train().run_dir)
    capfd.readouterr()
    assert main.run(["train", *[run if word == "RUN" else word for word in options]]) == 2
    err = capfd.readouterr().err
    assert said in err
    assert "bug" not in err


class Odd(torch.optim.SGD):
    """An optimizer that remembers what no file holds."""

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        super().step(closure)
        for parameter in self.param_groups[0]["params"]:
            self.state[parameter]["extra"] = {1, 2}


def test_a_state_that_no_checkpoint_holds_is_refused_by_name(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nnkit.optimizers.sgd.Sgd", Odd)
    with pytest.raises(CheckpointError, match=r"^state\.optimizer\.state\.0\.extra is of type builtins\.set"):
        train(optimizer="sgd")


def test_changed_code_of_a_model_is_told_by_name(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    first = train()
    made = torch.nn.Linear

    monkeypatch.setattr("tiny_plugin.nn.Linear", lambda size, classes: made(size, classes, bias=False))
    with pytest.raises(CheckpointError, match="does not fit the model, optimizer or schedule") as caught:
        train(resume=first.run_dir, epochs=3)
    assert "linear.bias" in caught.value.message or "TinyNet" in caught.value.message


def test_every_so_many_steps_or_seconds_a_checkpoint_is_made(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    from nnkit.runs.checkpoints import Checkpoints

    save = Checkpoints.save

    def counted(self: Checkpoints, epoch: int, step: int, **parts: Any) -> None:
        steps.append(step)
        save(self, epoch, step, **parts)

    monkeypatch.setattr(Checkpoints, "save", counted)
    train(epochs=2)
    assert steps == [6, 12]
    steps.clear()
    train(epochs=2, checkpoint_every="4")
    assert steps == [4, 6, 8, 12, 12]
    steps.clear()
    config = tmp_path / "steps.toml"
    config.write_text("checkpoint_every = 5\n")
    train(epochs=2, config=config)
    assert steps == [5, 6, 10, 12]
