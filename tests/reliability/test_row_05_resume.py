"""A run that was broken off and resumed equals one that was not, to the bit, wherever it broke off.

Row 5 of docs/reliability.md.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import nnkit
from checkpoint_files import best_file, last_state
from nnkit.results.train import TrainResult
from nnkit.runs import training_state
from nnkit.runs.directory import RunDirectory
from nnkit.studies.train.saving import Saver
from nnkit.types import EpochResult, StepResult
from tiny_plugin import TinyPlugin

TIMES = ("train_s", "seconds", "data_wait_s", "images_per_s")
STEPS = 6
"""Of an epoch of the tiny dataset in batches of 16."""
Train = Callable[..., TrainResult]

SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "sizes, augmentation, dropout, batch norm": {
        "dataset": "tiny:several=true",
        "model": "tiny-net:dropout=0.3,norm=true",
        "augment": "report",
    },
    "padded buckets": {
        "dataset": "digits-varres",
        "model": "varres-net:width=4",
        "augment": "affine",
        "bucketing": "max_buckets=2,pad_to=batch,leftovers=merge",
        "limit": 90,
    },
    "by resolution": {"dataset": "tiny:several=true", "order": "by-resolution"},
    "moving average": {"model": "tiny-net:norm=true", "ema": 0.8},
    "one-cycle": {"schedule": "one-cycle", "optimizer": "sgd:momentum=0.9,nesterov=true", "clip": 0.5},
    "cosine": {"schedule": "cosine", "optimizer": "adamw:weight_decay=0.1", "label_smoothing": 0.1},
    "muon": {"schedule": "linear-warmup-cosine:warmup=0.3", "optimizer": "muon:adam_lr=0.01"},
    "lbfgs": {"optimizer": "lbfgs:max_iter=3,history_size=4"},
    "bf16": {"precision": "bf16"},
    "rules": {
        "stop": ["patience:metric=val_loss,patience=2", "window:metric=val_loss,epochs=3,min_delta=1e-3"],
        "lr": 0.3,
    },
    "another seed, limited": {"seed": 3, "limit": 77, "augment": "affine", "loss": "cross-entropy"},
    "uneven classes": {
        "dataset": "tiny:several=true",
        "class_weights": "balanced",
        "sampler": "balanced",
        "metric": ["calibration-error", "top-k:k=2", "balanced-accuracy"],
        "monitor": "calibration_error",
        "stop": "patience:metric=val_calibration_error,patience=9",
    },
    "channels last": {"dataset": "digits", "model": "mnist-convnet", "limit": 90},
}


def has_compiler() -> bool:
    return any(shutil.which(name) for name in ("c++", "g++", "clang++"))


@pytest.fixture
def train(tiny: TinyPlugin, monkeypatch: pytest.MonkeyPatch) -> Train:
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])

    def run(**options: Any) -> TrainResult:
        base: dict[str, Any] = {"dataset": "tiny", "epochs": 4, "batch_size": 16, "runs_dir": tiny.runs}
        if "resume" in options:
            return nnkit.train(**options)
        return nnkit.train(**{**base, **options})

    return run


class Killed(BaseException):
    """Ends a run like a kill: nothing that happens on the way out saves anything."""


class KillAfter:
    """An observer that ends the run after a step, or after an epoch: `None` never."""

    def __init__(self, *, step: int | None = None, epoch: int | None = None) -> None:
        self.step, self.epoch = step, epoch

    def on_step(self, step: StepResult) -> None:
        if step.step == self.step:
            raise Killed

    def on_epoch(self, epoch: EpochResult) -> None:
        if epoch.epoch == self.epoch:
            raise Killed


def records(run: Path) -> list[dict[str, Any]]:
    """metrics.jsonl without the times."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        left_out = (*TIMES, "run_dir", "log_bytes", "log_crc32", "solver_s")
        return {key: without_times(item) for key, item in value.items() if key not in left_out}
    return list(map(without_times, value)) if isinstance(value, (list, tuple)) else value


def leaves(value: Any, place: str = "") -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{place}.{key}")
    elif isinstance(value, (list, tuple)):
        for at, item in enumerate(value):
            yield from leaves(item, f"{place}.{at}")
    else:
        yield place, value


def state_of(run: Path) -> dict[str, Any]:
    """Everything that the newest checkpoint holds but times, by place."""
    saved = last_state(run)
    return dict(leaves(without_times({**saved.parts, "run": vars(saved.run)})))


def assert_equal_to_the_bit(found: TrainResult, whole: TrainResult) -> None:
    assert records(found.run_dir) == records(whole.run_dir)
    assert best_file(found.run_dir).read_bytes() == best_file(whole.run_dir).read_bytes()
    state, expected = state_of(found.run_dir), state_of(whole.run_dir)
    assert state.keys() == expected.keys()
    for place, value in expected.items():
        if isinstance(value, Tensor):
            assert torch.equal(state[place], value), place
            assert state[place].dtype == value.dtype, place
        else:
            nan = isinstance(value, float) and math.isnan(value)
            assert state[place] == value or nan, place
    assert without_times(found.document()) == without_times(whole.document())


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize(
    "killed", [[{"epoch": 2}], [{"step": 3}, {"step": 9}, {"step": 17}]], ids=["epoch", "steps"]
)
def test_a_run_that_was_killed_goes_on_to_the_bit(
    train: Train, tmp_path: Path, name: str, killed: Any
) -> None:
    settings = {"dataset": "tiny", **SETTINGS[name]}
    whole = train(**settings, out=tmp_path / "whole")
    out = tmp_path / "broken"
    with pytest.raises(Killed):
        train(**settings, out=out, checkpoint_every="2", observers=[KillAfter(**killed[0])])
    for how in killed[1:]:
        with pytest.raises(Killed):
            train(resume=out, observers=[KillAfter(**how)])
    found = train(resume=out)
    assert found.run_dir == out
    assert_equal_to_the_bit(found, whole)


@pytest.mark.parametrize(
    "name", ["plain", "sizes, augmentation, dropout, batch norm", "padded buckets", "lbfgs", "bf16"]
)
def test_three_epochs_and_three_more_are_six(train: Train, tmp_path: Path, name: str) -> None:
    settings = {"dataset": "tiny", **SETTINGS[name]}
    whole = train(**settings, epochs=6, out=tmp_path / "whole")
    first = train(**settings, epochs=3, out=tmp_path / "half")
    assert first.epochs == 3
    found = train(resume=first.run_dir, epochs=6)
    assert found.run_dir == first.run_dir
    assert_equal_to_the_bit(found, whole)


@pytest.mark.slow
@pytest.mark.skipif(not has_compiler(), reason="needs a C++ compiler")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_compiled_model_goes_on_to_the_bit_where_batches_have_one_shape(
    train: Train, tmp_path: Path, precision: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {
        "dataset": "digits", "model": "mnist-convnet", "limit": 64, "epochs": 2, "compile": True,
        "ema": 0.8, "augment": "affine", "precision": precision,
    }  # fmt: skip
    whole = train(**settings, out=tmp_path / "whole")
    with pytest.raises(Killed):
        train(**settings, out=tmp_path / "broken", checkpoint_every="1", observers=[KillAfter(step=6)])
    torch.compiler.reset()  # as a new process begins
    assert_equal_to_the_bit(train(resume=tmp_path / "broken"), whole)
    torch.compiler.reset()
    assert "continuing without" not in caplog.text
    assert RunDirectory(tmp_path / "broken").environment()["resume_not_exact"] is None


@pytest.mark.parametrize(("settings", "promised"), [({"limit": 64}, True), ({"limit": 70}, False)])
def test_compiled_with_batches_of_several_shapes_the_run_says_that_it_is_not_promised(
    train: Train, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], promised: bool
) -> None:
    monkeypatch.setattr(torch, "compile", lambda model: model)
    run = train(**settings, epochs=1, compile=True).run_dir
    why = RunDirectory(run).environment()["resume_not_exact"]
    assert (why is None) is promised
    assert promised or "compiled, with batches of several shapes" in why


def test_files_read_by_workers_continue_in_the_middle_of_an_epoch(train: Train, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for kind in ("cat", "dog"):
        (tmp_path / "pets" / kind).mkdir(parents=True)
        for number in range(24):
            side = 9 + number % 3
            Image.fromarray(rng.integers(0, 255, (side, 10), np.uint8)).save(
                tmp_path / "pets" / kind / f"{number}.png"
            )
    settings = {
        "dataset": f"image-folder:path={tmp_path / 'pets'},in_memory=false,num_workers=2",
        "model": "tiny-net", "batch_size": 8, "augment": "affine", "epochs": 2,
    }  # fmt: skip
    whole = train(**settings, out=tmp_path / "whole")
    with pytest.raises(Killed):
        train(**settings, out=tmp_path / "broken", checkpoint_every="1", observers=[KillAfter(step=3)])
    assert_equal_to_the_bit(train(resume=tmp_path / "broken"), whole)


def test_a_surrogate_goes_on_to_the_bit(train: Train, tmp_path: Path) -> None:
    settings = {
        "dataset": "cifar-transform:source=synthetic,pipeline='resize(8),grayscale'",
        "model": "mlp-bottleneck:hidden=4", "limit": 60, "epochs": 3,
    }  # fmt: skip
    whole = train(**settings, out=tmp_path / "whole")
    with pytest.raises(Killed):
        train(**settings, out=tmp_path / "broken", checkpoint_every="2", observers=[KillAfter(step=7)])
    assert_equal_to_the_bit(train(resume=tmp_path / "broken"), whole)


def test_a_run_that_was_killed_in_its_test_is_finished_without_training(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"stop": ["patience:metric=val_loss,patience=1"], "lr": 0.5, "dataset": "tiny"}
    whole = train(**settings, epochs=9, out=tmp_path / "whole")
    assert "patience" in whole.stopped_by
    with monkeypatch.context() as patched:

        def killed(*parts: object, **named: object) -> None:
            raise Killed

        patched.setattr("nnkit.studies.train.study._test", killed)
        with pytest.raises(Killed):
            train(**settings, epochs=9, out=tmp_path / "broken")
    trained_on: list[int] = []

    class Counter(KillAfter):
        def on_step(self, step: StepResult) -> None:
            trained_on.append(step.step)

    found = train(resume=tmp_path / "broken", observers=[Counter()])
    assert not trained_on
    assert_equal_to_the_bit(found, whole)


def test_the_log_of_what_no_checkpoint_holds_is_cut(train: Train, tmp_path: Path) -> None:
    whole = train(out=tmp_path / "whole")
    out = tmp_path / "broken"
    with pytest.raises(Killed):
        train(out=out, observers=[KillAfter(epoch=3)])
    assert [entry.epoch for entry, _ in RunDirectory(out).checkpoints.states()] == [2, 1]
    assert [line["epoch"] for line in records(out) if line["kind"] == "epoch"] == [1, 2, 3]
    with (out / "metrics.jsonl").open("a") as log:
        log.write('{"kind": "epo')  # a line that was being written
    assert_equal_to_the_bit(train(resume=out), whole)


def test_a_damaged_newest_checkpoint_is_said_and_the_one_before_is_taken(
    train: Train, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = train(out=tmp_path / "whole")
    out = tmp_path / "broken"
    with pytest.raises(Killed):
        train(out=out, checkpoint_every="2", observers=[KillAfter(step=17)])
    (_, newest), (older, _) = RunDirectory(out).checkpoints.states()
    newest.write_bytes(newest.read_bytes()[:-5])
    with caplog.at_level("INFO", logger="nnkit"):
        found = train(resume=out)
    assert f"{newest} is damaged" in caplog.text
    assert "the checkpoint before it is taken" in caplog.text
    assert f"going on after step {older.step}" in caplog.text
    assert_equal_to_the_bit(found, whole)


def test_after_a_damaged_checkpoint_it_counts_among_those_that_are_kept_no_more(
    train: Train, tmp_path: Path
) -> None:
    out = tmp_path / "broken"
    with pytest.raises(Killed):
        train(out=out, checkpoint_every="2", observers=[KillAfter(step=17)])
    (_, newest), (older, _) = RunDirectory(out).checkpoints.states()
    newest.write_bytes(newest.read_bytes()[:-5])
    with pytest.raises(Killed):
        train(resume=out, observers=[KillAfter(step=17)])
    states = RunDirectory(out).checkpoints.states()
    assert [entry.step for entry, _ in states] == [16, older.step]
    assert [training_state.read(path).parts["step"] for _, path in states] == [16, older.step]


def test_without_an_index_the_best_weights_are_those_of_the_epoch_that_the_state_names(
    train: Train, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = train(lr=0.01, out=tmp_path / "whole")
    out = tmp_path / "broken"
    with pytest.raises(Killed):
        train(lr=0.01, out=out, observers=[KillAfter(epoch=3)])
    folder = RunDirectory(out).checkpoints
    (newest, _), (older, _) = folder.states()
    assert newest.best is not None
    assert older.best is not None
    assert newest.best != older.best
    shutil.copy(folder.weights_in(older.best), folder.weights_in(newest.best))
    (folder.path / "index.json").write_text("{")
    found = train(resume=out)
    assert "holds the weights of epoch 1, not of 2, the best" in caplog.text
    assert_equal_to_the_bit(found, whole)


def test_seconds_are_those_of_all_processes(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, slow = tmp_path / "run", "tiny-net:slow_step_s=0.02"
    with monkeypatch.context() as patched:
        patched.setattr(Saver, "seconds", 1000.0)
        with pytest.raises(Killed):
            train(model=slow, epochs=2, out=out, checkpoint_every="1", observers=[KillAfter(step=5)])
    found = train(resume=out)
    assert found.seconds > 1000 + 7 * 0.02
    epochs = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    first = next(line for line in epochs if line["kind"] == "epoch")
    assert first["train_s"] > 5 * 0.02
    assert first["seconds"] > first["train_s"]
