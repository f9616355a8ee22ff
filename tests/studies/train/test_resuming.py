"""What `runs show` says of a run that can go on: the command, the size on the disk, whether to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import nnkit
from nnkit.present.runs import run_text
from nnkit.results.runs import RunResult
from nnkit.runs.directory import RunDirectory
from nnkit.studies.runs import show_run
from nnkit.types import EpochResult, StepResult
from tiny_plugin import TinyPlugin


class Broken(BaseException):
    """Ends a run without a word."""


class BreakAt:
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, step: StepResult) -> None:
        if step.step == self.step:
            raise Broken

    def on_epoch(self, epoch: EpochResult) -> None:
        pass


@pytest.fixture
def broken(tiny: TinyPlugin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])

    def run(step: int = 8, **options: Any) -> RunResult:
        base = {"dataset": "tiny", "epochs": 3, "batch_size": 16, "out": tmp_path / "a run"}
        with pytest.raises(Broken):
            nnkit.train(**{**base, **options}, observers=[BreakAt(step)])
        return show_run(tmp_path / "a run")

    return run


def test_a_run_that_broke_off_shows_the_command_that_resumes_it(broken: Any, tmp_path: Path) -> None:
    shown = broken()
    run = tmp_path / "a run"
    assert shown.resume == f"nnkit train --resume '{run}'"
    assert (shown.checkpoints.number, shown.checkpoints.epoch, shown.checkpoints.step) == (1, 1, 6)
    on_disk = sum(path.stat().st_size for path in (run / "checkpoints").rglob("*") if path.is_file())
    assert shown.checkpoints.bytes == on_disk
    assert shown.checkpoints.not_exact is None
    text = run_text(shown, width=200)
    assert f"resume with  nnkit train --resume '{run}'" in text
    assert f"1, the newest after epoch 1, step 6; {on_disk / 1e6:.1f} MB on the disk" in text
    assert "not promised" not in text


def test_a_finished_run_and_one_without_a_checkpoint_show_none(
    broken: Any, tmp_path: Path, tiny: TinyPlugin
) -> None:
    early = broken(step=2)
    assert (early.checkpoints, early.resume) == (None, None)
    done = show_run(nnkit.train(dataset="tiny", epochs=1, runs_dir=tiny.runs).run_dir)
    assert done.resume is None
    assert done.checkpoints is not None


def test_a_run_that_is_not_promised_to_resume_to_the_bit_says_why(broken: Any, tmp_path: Path) -> None:
    broken()
    folder = RunDirectory(tmp_path / "a run")
    folder.write_environment({"resume_not_exact": "on cuda some kernels add up in any order"})
    text = run_text(show_run(folder.path), width=200)
    assert "not promised to the bit: on cuda some kernels add up in any order" in text
