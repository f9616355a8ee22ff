"""Cells are trained one after the other or in processes, and each ends with an answer."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from fake_plugins import write_plugin
from nnkit.config import Resolved
from nnkit.errors import CheckpointError, InterruptedRun, NnkitError, UsageError
from nnkit.results.metrics import Classification
from nnkit.results.train import Best, BestMetrics, Solver, TrainResult
from nnkit.spec import Spec, parse
from nnkit.studies.cells import Cell, Outcome, finished_summary, threads_each, train_cells, train_one
from nnkit.studies.train import study as train
from nnkit.studies.train.config import TrainConfig
from nnkit.studies.train.study import Finish
from nnkit.training.observers import Observer


class Trainer:
    """Stands where training stands: it makes the folder of a run, and ends with the error of its seed."""

    def __init__(self) -> None:
        self.errors: dict[int, BaseException] = {}
        self.observed: list[Sequence[Observer]] = []

    def run(
        self,
        resolved: Resolved[TrainConfig],
        *,
        observers: Sequence[Observer] = (),
        finish: Finish | None = None,
        advise: bool = True,
    ) -> None:
        config = resolved.config
        assert not advise
        assert config.out is not None
        if config.out.exists():
            raise UsageError(f"{config.out} is already there")
        config.out.mkdir()
        self.observed.append(observers)
        if config.seed in self.errors:
            raise self.errors[config.seed]


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> Trainer:
    found = Trainer()
    monkeypatch.setattr(train, "train", found.run)
    return found


def summary_of(folder: Path, accuracy: float) -> dict[str, Any]:
    test = Classification(loss=0.1, accuracy=accuracy)
    best = BestMetrics(validation=test, record={"val_accuracy": accuracy})
    return TrainResult(
        run_dir=folder, dataset="tiny", model="tiny-net", loss="cross-entropy", parameters=1, epochs=1,
        stopped_by="epochs", best=Best(epoch=1, metric="val_accuracy", metrics=best), test=test,
        solver=Solver(name="gradient"), seconds=1.5, images_per_s=1.0, seed=0, device="cpu",
    ).document()  # fmt: skip


def cell(tmp_path: Path, seed: int = 3) -> Cell:
    config = TrainConfig(dataset=Spec("tiny"), model=Spec("tiny-net"), seed=seed)
    return Cell("one", config.model_copy(update={"out": tmp_path / f"cell-{seed}"}))


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, Outcome("", 0, 0)),
        (UsageError("wrong"), Outcome("wrong", 2, 0)),
        (UsageError("wrong", hint="write right"), Outcome("wrong", 2, 0, "write right")),
        (NnkitError("broken"), Outcome("broken", 1, 0)),
        (ValueError("odd"), Outcome("ValueError: odd", 1, 0)),
        (KeyboardInterrupt(), Outcome("interrupted", 130, 130)),
        (InterruptedRun("terminated", exit_code=143), Outcome("terminated", 143, 143)),
    ],
)
def test_every_end_of_a_cell_is_an_answer(
    trainer: Trainer, tmp_path: Path, error: BaseException | None, outcome: Outcome
) -> None:
    trainer.errors = {3: error} if error is not None else {}
    assert train_one(cell(tmp_path)) == outcome


def test_what_an_attempt_left_is_removed_but_a_link_is_not_followed(trainer: Trainer, tmp_path: Path) -> None:
    left = cell(tmp_path).folder
    left.mkdir()
    (left / "torn").touch()
    assert train_one(cell(tmp_path)) == Outcome()
    assert not (left / "torn").exists()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "precious").touch()
    cell(tmp_path, 8).folder.symlink_to(mine)
    assert train_one(cell(tmp_path, 8)).exit_code == 2  # training finds its folder taken
    assert (mine / "precious").exists()


def test_one_job_trains_the_cells_in_their_order_and_stops_at_an_interrupt(
    trainer: Trainer, tmp_path: Path
) -> None:
    cells = [cell(tmp_path, seed) for seed in (8, 3, 1)]
    trainer.errors = {3: ValueError("odd"), 1: KeyboardInterrupt()}
    ended = train_cells(cells)
    assert next(ended) == (cells[0], Outcome())
    assert next(ended) == (cells[1], Outcome("ValueError: odd", 1))
    with pytest.raises(InterruptedRun) as error:
        next(ended)
    assert error.value.exit_code == 130


def test_a_cell_without_a_summary_or_without_its_test_is_not_finished(tmp_path: Path) -> None:
    assert finished_summary(tmp_path) is None
    untested = {**summary_of(tmp_path, 0.5), "test": None}
    (tmp_path / "summary.json").write_text(json.dumps(untested))
    assert finished_summary(tmp_path) is None
    assert finished_summary(tmp_path, tested=False) == TrainResult.model_validate(untested)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"test": null}', '{"test": {}}', "[" * 100_000])
def test_a_damaged_summary_is_an_error_that_names_the_file_and_how_to_resume(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "summary.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"summary\.json is damaged") as error:
        finished_summary(tmp_path)
    assert f"remove {tmp_path}" in error.value.hint


@pytest.mark.parametrize("state", ["interrupted", "running", "failed"])
def test_a_cell_that_broke_off_after_its_summary_is_not_finished(tmp_path: Path, state: str) -> None:
    """Its figures, and the data behind them, may be missing."""
    (tmp_path / "summary.json").write_text(json.dumps(summary_of(tmp_path, 0.5)))
    gone = {"state": state, "pid": 1 << 30, "host": socket.gethostname()}
    (tmp_path / "status.json").write_text(json.dumps(gone))
    assert finished_summary(tmp_path) is None
    (tmp_path / "status.json").write_text(json.dumps({**gone, "state": "finished"}))
    assert finished_summary(tmp_path) is not None


def test_a_finished_cell_is_known_by_the_summary_of_its_test(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text(json.dumps(summary_of(tmp_path, 1.0)))
    summary = finished_summary(tmp_path)
    assert summary is not None
    assert isinstance(summary.test, Classification)
    assert summary.test.accuracy == 1


def test_an_outcome_is_told_with_what_to_do() -> None:
    assert str(Outcome("wrong", 2, hint="write right")) == "wrong\nwrite right"
    assert str(Outcome("wrong", 1)) == "wrong"


def test_the_observers_see_the_cells_of_this_process(trainer: Trainer, tmp_path: Path) -> None:
    watching: Any = object()
    assert list(train_cells([cell(tmp_path)], jobs=2, observers=[watching]))
    assert trainer.observed == [[watching]]


def test_cells_at_a_time_share_the_threads() -> None:
    assert [threads_each(4, jobs) for jobs in (1, 2, 3, 8)] == [4, 2, 1, 1]
    assert threads_each(None, 1) is None
    assert threads_each(None, 2) == max(1, torch.get_num_threads() // 2)


@pytest.mark.slow
def test_a_process_that_fails_answers_with_its_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("in the way")
    config = TrainConfig(dataset=parse("image-folder:path=nowhere-at-all"), out=tmp_path / "taken")
    cells = [Cell("one", config), Cell("two", config.model_copy(update={"out": tmp_path / "other"}))]
    outcomes: list[Outcome] = [outcome for _, outcome in train_cells(cells, jobs=2)]
    assert len(outcomes) == 2
    assert all(outcome.exit_code in (1, 2) for outcome in outcomes)
    assert any("nowhere-at-all" in outcome.error for outcome in outcomes)
    assert any("taken is already there" in outcome.error for outcome in outcomes)


@pytest.mark.slow
def test_an_answer_of_any_length_is_read_from_a_process_that_waits_to_send_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_plugin(
        tmp_path / "site",
        "wordy-data",
        "[nnkit.datasets]\nwordy = wordy_data:Wordy\n",
        module="class Wordy:\n"
        "    task, default_model = 'classification', 'mnist-convnet'\n"
        "    def load(self, place): raise ValueError('x' * 100_000)\n",
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    config = TrainConfig(dataset=parse("wordy"), out=tmp_path / "one")
    cells = [Cell("one", config), Cell("two", config.model_copy(update={"out": tmp_path / "two"}))]
    outcomes: list[Outcome] = []

    def train() -> None:
        outcomes.extend(outcome for _, outcome in train_cells(cells, jobs=2))

    thread = threading.Thread(target=train, daemon=True)
    thread.start()
    thread.join(60)
    assert [len(outcome.error) > 100_000 for outcome in outcomes] == [True, True]
