"""What goes to stderr while a command runs: the epochs, cells and rounds, with the study's own numbers."""

from __future__ import annotations

import io
import itertools
import json
import sys
import time
from pathlib import Path

import pytest

from nnkit.api import train
from nnkit.present.progress import CellProgress, Progress, Rounds
from nnkit.results.train import TrainResult
from nnkit.studies.cells import Cell
from nnkit.studies.train.config import TrainConfig
from present.conftest import Trained


class Terminal(io.StringIO):
    """A stderr that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def run_with(progress: Progress, out: Path) -> TrainResult:
    with pytest.MonkeyPatch.context() as patch, progress:
        patch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])
        return train(
            dataset="tiny",
            epochs=2,
            seed=7,
            threads=1,
            device="cpu",
            batch_size=30,
            out=out,
            observers=[progress],
        )


def lines_wanted(out: Path) -> list[str]:
    """A line per epoch, from the log that the run left."""
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    lines = []
    for record in records:
        if record["kind"] == "epoch":
            parts = [
                f"{key} {record['metrics'][key]:.4g}"
                for key in ("train_loss", "val_accuracy", "val_loss", "val_macro_f1")
            ]
            speed = f"{record['images_per_s']:,.0f} img/s"
            lines.append(f"epoch {record['epoch']}/2: {', '.join(parts)}; {speed}")
    return lines


def test_away_from_a_terminal_each_epoch_is_a_line_with_its_metrics_and_speed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_with(Progress(quiet=False), tmp_path / "run")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["nnkit: training with seed 7", *lines_wanted(tmp_path / "run")]


def test_on_a_terminal_a_bar_counts_images_and_the_lines_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    run_with(Progress(quiet=False), tmp_path / "run")
    written = terminal.getvalue()
    lines = [line.strip("\r\x1b[K ") for line in written.replace("\r", "\n").splitlines()]
    assert [line for line in lines if line in lines_wanted(tmp_path / "run")] == lines_wanted(
        tmp_path / "run"
    )
    assert " img/s" in written


def test_the_bar_knows_its_end_and_so_the_time_that_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = Progress(quiet=False)
    run_with(progress, tmp_path / "run")
    steps = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    num_images = 30 * sum(record["kind"] == "step" for record in steps)
    total = progress._bar.total
    assert num_images - 30 < total / 2 <= num_images
    assert progress._bar.n == total
    assert f"/{total}" in terminal.getvalue()


def test_quiet_says_nothing_even_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    run_with(Progress(quiet=True), tmp_path / "run")
    assert terminal.getvalue() == ""


def test_each_cell_of_a_comparison_is_a_line_with_how_it_ended(
    trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = trained.result.run_dir
    summary = json.loads((folder / "summary.json").read_text())
    result = TrainResult.model_validate(summary)
    progress = CellProgress(quiet=False)
    progress.begin(folder, 4, 1)
    progress.cell_done(Cell("avg, seed 0", TrainConfig()), result.model_copy(update={"seconds": 75.0}), "")
    progress.cell_done(Cell("max, seed 0", TrainConfig()), None, "MemoryError: no room\nmore")
    progress.cell_done(Cell("max, seed 1", TrainConfig()), None, "")
    accuracy = f"{100 * summary['test']['accuracy']:.2f} %"
    assert 0 < summary["test"]["accuracy"] < 1
    assert capsys.readouterr().err.splitlines() == [
        f"nnkit: 4 cells, 1 done already; all is kept in {folder}",
        f"cell 2/4: avg, seed 0: test accuracy {accuracy} in 1 min 15 s",
        "cell 3/4: max, seed 0: failed: MemoryError: no room",
        "cell 4/4: max, seed 1: failed: no summary",
    ]
    quiet = CellProgress(quiet=True)
    quiet.begin(folder, 4, 1)
    quiet.cell_done(Cell("avg, seed 0", TrainConfig()), result, "")
    assert capsys.readouterr().err == ""


def test_each_seed_is_a_line_and_without_a_test_its_validation(
    trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = trained.result.run_dir
    result = TrainResult.model_validate_json((folder / "summary.json").read_bytes())
    progress = CellProgress(quiet=False, noun="seed")
    progress.begin(folder, 1, 0)
    untested = result.model_copy(update={"seconds": 75.0, "test": None})
    progress.cell_done(Cell("seed 4", TrainConfig()), untested, "")
    assert capsys.readouterr().err.splitlines() == [
        f"nnkit: 1 seed, 0 done already; all is kept in {folder}",
        f"seed 1/1: seed 4: val accuracy {100 * (result.best.value or 0):.2f} % in 1 min 15 s",
    ]


def test_the_bar_of_one_seed_is_closed_before_its_line_and_the_next_has_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    progress = Progress(quiet=False)
    told = CellProgress(quiet=False, noun="seed", progress=progress)
    bars = []
    for seed in (0, 1):
        progress.on_start(epochs=1, seed=seed)
        bars.append(progress._bar)
        assert not progress._bar.disable
        told.cell_done(Cell(f"seed {seed}", TrainConfig()), None, "no")
        assert progress._bar.disable
    assert bars[0] is not bars[1]


def test_rounds_are_told_of_every_ten_seconds_and_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = itertools.count(100.0, 4.0)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    watch = Rounds("round", quiet=False)
    for done in range(1, 9):
        watch(done, 8)
    said = capsys.readouterr().err.splitlines()
    assert said == [f"nnkit: round {done} of 8" for done in (3, 6, 8)]
    quiet = Rounds("round", quiet=True)
    quiet(8, 8)
    assert capsys.readouterr().err == ""
