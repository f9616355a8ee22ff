"""A run's page: its state, its result, its epochs, its configuration and its files."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from nnkit.present.compare_pooling import comparison_table
from nnkit.present.runs import files_left, run_text, runs_table
from nnkit.present.train import train_table
from nnkit.present.train_seeds import train_seeds_table
from nnkit.results.compare_pooling import ComparePoolingResult
from nnkit.results.runs import RunResult, RunRow, RunsResult
from nnkit.results.train_seeds import TrainSeedsResult
from nnkit.studies.runs import list_runs, show_run
from present.conftest import Trained
from present.reading import read_pairs, read_table, shows

WIDTHS = [40, 80, 120]


@pytest.fixture
def page(trained: Trained) -> RunResult:
    return show_run(trained.result.run_dir)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_head_is_the_runs_status(page: RunResult, width: int) -> None:
    head, status = read_pairs(run_text(page, width=width))[0], page["status"]
    assert head[:-1] == [
        ("run", page["run_dir"]), ("state", "finished"), ("reason", "epochs"),
        *((key, status[key]) for key in ("started", "heartbeat", "host")),
    ]  # fmt: skip
    key, saved = head[-1]
    assert key == "checkpoints"
    assert page.checkpoints is not None
    assert saved.startswith(
        f"{page.checkpoints.number}, the newest after epoch {page.checkpoints.epoch}, step"
    )


@pytest.mark.parametrize("width", WIDTHS)
def test_the_result_is_that_of_training(page: RunResult, trained: Trained, width: int) -> None:
    assert train_table(trained.result, width=width) in run_text(page, width=width)


@pytest.mark.parametrize("width", WIDTHS)
def test_each_epoch_has_its_losses_and_accuracy(page: RunResult, trained: Trained, width: int) -> None:
    rows = read_table(run_text(page, width=width), "epoch", "train_loss", "val_loss", "val_accuracy")
    for row, epoch in zip(rows, trained.epochs, strict=True):
        assert row["epoch"] == str(epoch.epoch)
        assert shows(row["train_loss"], epoch.metrics["train_loss"])
        assert shows(row["val_loss"], epoch.metrics["val_loss"])
        assert shows(row["val_accuracy"], epoch.metrics["val_accuracy"], "%")


def test_each_epoch_of_a_transform_has_its_summed_error(transformed: Trained) -> None:
    text = run_text(show_run(transformed.result.run_dir), width=120)
    rows = read_table(text, "epoch", "train_loss", "val_loss", "val_mae_sum")
    for row, epoch in zip(rows, transformed.epochs, strict=True):
        assert shows(row["val_mae_sum"], epoch.metrics["val_mae_sum"])


def test_the_configuration_stands_there_as_it_is_read_back(page: RunResult, trained: Trained) -> None:
    text = run_text(page)
    written = re.search(r"(?ms)^(data_root|download|threads).*?^\[optimizer\]\n.*?(?=\n\n)", text)
    assert written
    assert tomllib.loads(written[0]) == tomllib.loads((trained.result.run_dir / "config.toml").read_text())
    assert tomllib.loads(written[0])["optimizer"]["lr"] == 0.02


def test_the_files_come_last_one_a_line(page: RunResult, trained: Trained) -> None:
    folder = trained.result.run_dir
    files = {str(path.relative_to(folder)) for path in folder.rglob("[!.]*") if path.is_file()}
    lines = run_text(page).rpartition("\n\n")[2].splitlines()
    assert lines == sorted(files)
    assert "figures/curves.png" in lines


def test_a_run_that_never_came_to_an_epoch_has_status_and_files_alone(tmp_path: Path) -> None:
    (tmp_path / "status.json").write_text('{"state": "failed", "reason": "out of memory"}')
    assert run_text(show_run(tmp_path)).splitlines() == [
        f"run     {tmp_path}", "state   failed", "reason  out of memory", "", "status.json"
    ]  # fmt: skip


def test_the_files_left_are_paths_the_ones_on_top_first(trained: Trained) -> None:
    folder = trained.result.run_dir
    paths = [Path(line) for line in files_left(folder).splitlines()]
    assert set(paths) == {path for path in folder.rglob("[!.]*") if path.is_file()}
    depths = [len(path.parts) for path in paths]
    assert depths == sorted(depths)
    tops = [path for path in paths if path.parent == folder]
    assert tops == sorted(tops)
    assert paths[: len(tops)] == tops


def test_the_page_of_a_comparison_is_its_result_and_counts_the_files_of_its_cells(
    won: ComparePoolingResult,
) -> None:
    page = show_run(won.run_dir)
    assert page.summary == won
    text = run_text(page, width=80)
    assert comparison_table(won, width=80) in text
    assert "winner    avg" in text or "winner  avg" in text
    own, cells = (
        [name for name in page.files if name.startswith("cells/") == inside] for inside in (False, True)
    )
    assert len(cells) > 30
    assert text.rpartition("\n\n")[2].splitlines() == [*own, f"cells/ with {len(cells)} files"]


def test_the_list_names_the_winner_of_a_comparison(won: ComparePoolingResult) -> None:
    row = RunRow(
        name="a", path="runs/a", state="finished", reason=None, dataset="d", model="varres-net", metric=None,
        best=None, epochs=2, seconds=3.0, started=None, winner=won.winner,
    )  # fmt: skip
    text = runs_table(RunsResult(runs_dir="runs", runs=(row,)), width=120)
    (shown,) = read_table(text, "name", "state", "best", "dataset", "model", "epochs", "time", "started")
    assert (shown["best"], shown["model"]) == ("winner avg", "varres-net")


def test_of_a_training_with_several_seeds_page_and_list_show_their_mean(several: TrainSeedsResult) -> None:
    page = show_run(several.run_dir)
    assert page.summary == several
    text = run_text(page, width=80)
    assert train_seeds_table(several, width=80) in text
    assert "cells/ with" in text
    (row,) = [row for row in list_runs(several.run_dir.parents[1]).runs if row.path == str(several.run_dir)]
    assert (row.metric, row.best, row.seeds) == ("val_accuracy", several.validation.mean, 3)
    assert row.epochs == max(run.epochs for run in several.runs)
    shown = runs_table(RunsResult(runs_dir="runs", runs=(row,)), width=200)
    assert f"{100 * (several.validation.mean or 0):.2f} %, 3 seeds" in shown
