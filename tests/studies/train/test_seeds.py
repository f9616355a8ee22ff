"""A training with several seeds is as many ordinary runs, and the mean over them."""

from __future__ import annotations

import json
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from safetensors.torch import load_file

import nnkit
from checkpoint_files import best_file
from nnkit.errors import CheckpointError, InterruptedRun, NnkitError, PartialError, UsageError
from nnkit.results.metrics import Classification
from nnkit.results.train import TrainResult
from nnkit.results.train_seeds import TrainSeedsResult
from nnkit.runs.directory import RunDirectory
from nnkit.studies.cells import Cell
from nnkit.studies.runs import show_run
from nnkit.studies.train import seeds as study
from nnkit.studies.train.seeds import check_complete
from nnkit.training import loop
from tiny_plugin import TinyPlugin

QUICK: dict[str, Any] = {"dataset": "tiny:noise=150.0", "epochs": 2, "batch_size": 16, "lr": 0.02}
QUICK |= {"device": "cpu", "threads": 1}


@pytest.fixture(autouse=True)
def no_figures(tiny: TinyPlugin, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' plugin, and figures of the whole alone; `id` crosses to processes."""
    monkeypatch.setattr("nnkit.present.figures.draw_training", id)


def train(out: Path, seeds: object = "0-2", **options: Any) -> TrainSeedsResult:
    result = nnkit.train(**{**QUICK, **options}, seeds=seeds, out=out)
    assert isinstance(result, TrainSeedsResult)
    return result


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(best_file(run))


def same_training(a: Path, b: Path) -> None:
    """Equal to the bit: the weights, and every step and epoch but for their times."""
    first, second = weights(a), weights(b)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    timed = ("train_s", "data_wait_s", "seconds", "images_per_s")
    logs = []
    for run in (a, b):
        records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        logs.append([{key: value for key, value in each.items() if key not in timed} for each in records])
    assert logs[0] == logs[1]


def test_each_seed_is_what_a_training_with_it_alone_is_to_the_bit(tmp_path: Path) -> None:
    result = train(tmp_path / "all", [5, 0, 2])
    assert [run.seed for run in result.runs] == [5, 0, 2]
    for run in result.runs:
        alone = nnkit.train(**QUICK, seed=run.seed, out=tmp_path / str(run.seed))
        same_training(run.run_dir, alone.run_dir)
        summary = TrainResult.model_validate_json((run.run_dir / "summary.json").read_bytes())
        assert summary.seed == run.seed
        assert (run.best, run.test, run.epochs) == (alone.best, alone.test, alone.epochs)
        assert (summary.best, summary.test, summary.stopped_by) == (alone.best, alone.test, run.stopped_by)
        config = (run.run_dir / "config.toml").read_text()
        assert config == (alone.run_dir / "config.toml").read_text()


def test_a_comparison_of_poolings_comes_to_the_same_numbers_to_the_bit(tmp_path: Path) -> None:
    shared: dict[str, Any] = {
        "dataset": "digits-varres", "limit": 60, "epochs": 1, "device": "cpu", "threads": 1, "lr": 0.003,
        "seeds": "1,3",
    }  # fmt: skip
    compared = nnkit.compare_pooling(**shared, pooling=["avg"], budget=6000, out=tmp_path / "compared")
    (row,) = compared.results
    model = f"varres-net:width={row.value},pooling=avg"
    result = nnkit.train(**shared, model=model, out=tmp_path / "trained")
    assert result.test is not None
    assert result.test.values == row.accuracy.values
    assert result.test.mean == row.accuracy.mean
    assert result.parameters == row.parameters
    for run, cell in zip(result.runs, row.cells, strict=True):
        same_training(run.run_dir, Path(cell))


def test_the_mean_and_interval_are_of_the_monitored_metric_on_both_splits(tmp_path: Path) -> None:
    result = train(tmp_path / "all", "0-3")
    assert result.test is not None
    assert (result.validation.metric, result.test.metric) == ("val_accuracy", "accuracy")
    tests = [run.test.accuracy for run in result.runs if isinstance(run.test, Classification)]
    validated = [run.best.metrics.record["val_accuracy"] for run in result.runs]
    for over, values in ((result.validation, validated), (result.test, tests)):
        assert list(over.values) == values
        assert len(set(values)) > 1
        assert over.mean == pytest.approx(np.mean(values))
        low, high = scipy.stats.t.interval(0.95, 3, loc=np.mean(values), scale=scipy.stats.sem(values))
        assert over.ci95 == pytest.approx((max(low, 0), min(high, 1)))
    assert result.seconds == pytest.approx(sum(run.seconds for run in result.runs))


def test_an_interval_stays_within_what_is_possible_and_needs_finite_values() -> None:
    assert study._over_seeds("val_accuracy", "accuracy", [0.0, 1.0, 1.0]).ci95 == (0, 1)
    low, high = study._over_seeds("val_mae_sum", "mae_sum", [0.1, 9.0, 0.1]).ci95 or (None, None)
    assert low == 0
    assert high is not None
    assert high > 9
    low, _ = study._over_seeds("val_loss", "loss", [0.1, 9.0, 0.1]).ci95 or (None, None)
    assert low is not None
    assert low < 0
    infinite = study._over_seeds("val_psnr", "psnr", [math.inf, 40.0, 41.0])
    assert (infinite.mean, infinite.ci95) == (None, None)
    assert infinite.document()["values"] == [None, 40.0, 41.0]


@pytest.mark.parametrize("seeds", [3, "3", [3], "3,7"])
def test_one_or_two_seeds_have_the_same_form_without_an_interval(seeds: object, tmp_path: Path) -> None:
    result = train(tmp_path / "few", seeds, epochs=1)
    assert result.seeds == ((3, 7) if seeds == "3,7" else (3,))
    assert result.validation.mean == pytest.approx(np.mean(result.validation.values))
    assert result.validation.ci95 is None
    assert result.test is not None
    assert result.test.ci95 is None


def test_the_test_split_is_left_alone_where_it_is_asked_for(tmp_path: Path) -> None:
    result = train(tmp_path / "all", "0-1", epochs=1, test=False)
    assert result.test is None
    assert [run.test for run in result.runs] == [None, None]
    assert all(value is not None for value in result.validation.values)
    again = train(tmp_path / "all", "0-1", epochs=1, test=False)
    assert again == result


def test_the_folder_says_everything_and_its_own_config_repeats_it(tmp_path: Path) -> None:
    out = tmp_path / "all"
    result = train(out, "0-2")
    assert result.run_dir == out
    assert json.loads((out / "summary.json").read_text()) == result.document()
    assert TrainSeedsResult.model_validate_json((out / "summary.json").read_bytes()) == result
    assert json.loads((out / "status.json").read_text())["state"] == "finished"
    assert {path.name for path in (out / "figures").iterdir()} == {
        "curves-by-seed.png", "curves-by-seed.csv",
    }  # fmt: skip
    repeated: Any = nnkit.train(config=[out / "config.toml"], out=tmp_path / "again")
    assert repeated.validation == result.validation
    assert repeated.test == result.test


def test_without_out_it_stands_beside_other_trainings(tmp_path: Path) -> None:
    result = nnkit.train(**QUICK, seeds="0", runs_dir=tmp_path / "runs")
    assert result.run_dir.parent == tmp_path / "runs" / "train"
    assert result.runs[0].run_dir.is_relative_to(result.run_dir)
    assert nnkit.load(result.runs[0].run_dir)
    with pytest.raises(UsageError, match="holds several runs"):
        nnkit.load(result.run_dir)


class Watch:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.done_at_start = -1
        self.titles: list[str] = []
        self.seeds: list[int] = []

    def begin(self, folder: Path, num_cells: int, num_done: int) -> None:
        assert (folder / "config.toml").is_file()  # it is made before the work starts
        self.done_at_start = num_done

    def cell_done(self, cell: Cell, summary: TrainResult | None, error: str) -> None:
        self.titles.append(cell.title)

    def on_start(self, *, epochs: int, seed: int) -> None:
        self.seeds.append(seed)

    def on_step(self, step: object) -> None: ...

    def on_epoch(self, epoch: object) -> None: ...


def after(calls: int, act: Callable[[], None], function: Callable[..., Any]) -> Callable[..., Any]:
    done = [0]

    def wrapped(*positional: Any, **named: Any) -> Any:
        done[0] += 1
        if done[0] == calls:
            act()
        return function(*positional, **named)

    return wrapped


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_keeps_finished_seeds_and_names_the_command_that_resumes(
    number: int, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "all"
    whole = train(tmp_path / "whole")
    with monkeypatch.context() as patch:  # 6 steps an epoch: the second seed's third step
        patch.setattr(loop, "_compute", after(15, lambda: os.kill(os.getpid(), number), loop._compute))
        with pytest.raises(InterruptedRun, match="interrupted with 1 of 3 seeds done") as stopped:
            train(out)
    assert stopped.value.exit_code == code
    assert stopped.value.hint == f"to go on: nnkit train --config {out / 'config.toml'} --out {out}"
    assert json.loads((out / "status.json").read_text())["state"] == "interrupted"
    first = out / "cells" / "seed-0"
    before = {path: path.stat().st_mtime_ns for path in first.rglob("*") if path.is_file()}

    watch = Watch()
    result: Any = nnkit.train(config=[out / "config.toml"], out=out, watcher=watch, observers=[watch])
    assert watch.done_at_start == 1
    assert watch.titles == ["seed 1", "seed 2"]
    assert watch.seeds == [1, 2]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert (result.validation, result.test) == (whole.validation, whole.test)


class Resumed(Watch):
    """Remembers where a training goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.resumed: list[tuple[int, int]] = []

    def on_resume(self, *, epochs_done: int, images_done: int) -> None:
        self.resumed.append((epochs_done, images_done))


class Killed(BaseException):
    """Ends a training like a kill."""


def die() -> None:
    raise Killed


@pytest.mark.parametrize("stop", [signal.SIGINT, None])
def test_a_seed_that_broke_off_goes_on_from_its_checkpoint_to_the_bit(
    stop: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, options = tmp_path / "all", {"augment": "affine", "epochs": 3}
    whole = train(tmp_path / "whole", "0-2", **options)
    act = die if stop is None else lambda: os.kill(os.getpid(), stop)
    with monkeypatch.context() as patch:  # 6 steps an epoch: the second seed's ninth step
        patch.setattr(loop, "_compute", after(27, act, loop._compute))
        with pytest.raises((InterruptedRun, Killed)):
            train(out, "0-2", **options)
    broken = out / "cells" / "seed-1"
    if stop is None:  # what a process that is gone leaves
        status = json.loads((broken / "status.json").read_text())
        (broken / "status.json").write_text(json.dumps({**status, "state": "running", "pid": 2**22 + 1}))
    assert show_run(out).resume == f"nnkit train --config {out / 'config.toml'} --out {out}"
    watch = Resumed()
    result = train(out, "0-2", **options, watcher=watch, observers=[watch])
    assert watch.titles == ["seed 1", "seed 2"]
    assert watch.resumed == [(1, 0 if stop is None else 42)]
    assert (result.validation, result.test) == (whole.validation, whole.test)
    for ours, theirs in zip(result.runs, whole.runs, strict=True):
        same_training(ours.run_dir, theirs.run_dir)


def test_a_seed_that_failed_goes_on_from_its_checkpoint_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise OSError("a disk that is full, as it were")

    out = tmp_path / "all"
    whole = train(tmp_path / "whole", "0-1", epochs=3)
    with monkeypatch.context() as patch:  # 6 steps an epoch: the second seed's ninth step
        patch.setattr(loop, "_compute", after(27, broken, loop._compute))
        assert [seed.seed for seed in train(out, "0-1", epochs=3).failed] == [1]
    watch = Resumed()
    result = train(out, "0-1", epochs=3, observers=[watch])
    assert watch.resumed == [(1, 0)]
    assert (result.validation, result.test) == (whole.validation, whole.test)
    same_training(result.runs[1].run_dir, whole.runs[1].run_dir)


def test_what_is_not_drawn_yet_is_not_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, states = tmp_path / "all", []

    def draw(result: TrainSeedsResult) -> None:
        states.append(RunDirectory(out).state())
        if len(states) == 1:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("nnkit.present.figures.draw_seeds", draw)
    with pytest.raises(InterruptedRun, match="2 of 2 seeds"):
        train(out, "0-1", epochs=1)
    assert RunDirectory(out).state() == "interrupted"
    train(out, "0-1", epochs=1)
    assert states == ["running", "running"]
    assert RunDirectory(out).state() == "finished"


def test_a_seed_whose_checkpoint_is_damaged_is_trained_from_its_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "all"
    whole = train(tmp_path / "whole", "0-1")
    with monkeypatch.context() as patch:
        patch.setattr(loop, "_compute", after(4, lambda: os.kill(os.getpid(), signal.SIGINT), loop._compute))
        with pytest.raises(InterruptedRun, match="0 of 2 seeds"):
            train(out, "0-1")
    for path in (out / "cells" / "seed-0" / "checkpoints").rglob("*.safetensors"):
        path.write_bytes(b"torn")
    watch = Resumed()
    result = train(out, "0-1", observers=[watch])
    assert watch.resumed == []
    assert result.test == whole.test


def test_resume_of_a_training_with_several_seeds_says_what_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "all"
    train(out, "0-1", epochs=1)
    with pytest.raises(UsageError, match="`nnkit train --resume` does not go on with") as refused:
        nnkit.train(resume=out)
    assert refused.value.hint == f"this does: nnkit train --config {out / 'config.toml'} --out {out}"


def test_a_folder_with_another_training_is_refused_with_the_difference(tmp_path: Path) -> None:
    out = tmp_path / "all"
    train(out, "0-1", epochs=1)
    for change, said in (
        ({"epochs": 3}, "epochs is 1 there, 3 here"),
        ({"seeds": "0-2"}, r"seeds is \[0, 1\] there, \[0, 1, 2\] here"),
        ({"test": False}, "test is True there, False here"),
    ):
        with pytest.raises(UsageError, match=f"holds another training: {said}\n"):
            train(out, **{"seeds": "0-1", "epochs": 1, **change})
    with pytest.raises(UsageError, match="seeds is not given there"):
        train(out / "cells" / "seed-0", "0-1", epochs=1)
    with pytest.raises(UsageError, match="already there"):
        nnkit.train(**QUICK, out=out)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    with pytest.raises(UsageError, match="already there"):
        train(tmp_path / "mine")


def test_a_seed_that_fails_stands_in_the_result_and_the_others_continue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise RuntimeError("no room")

    out = tmp_path / "all"
    with monkeypatch.context() as patch:
        patch.setattr(loop, "_compute", after(15, broken, loop._compute))
        result = train(out)
    assert [run.seed for run in result.runs] == [0, 2]
    assert [(seed.seed, seed.error, seed.exit_code) for seed in result.failed] == [
        (1, "RuntimeError: no room", 1)
    ]
    assert result.validation.values[1] is None
    assert result.validation.ci95 is None
    status = json.loads((out / "status.json").read_text())
    assert (status["state"], status["reason"]) == ("failed", "1 of 3 seeds failed")
    with pytest.raises(PartialError, match=r"1 of 3 seeds failed, the first \(seed 1\): RuntimeError"):
        check_complete(result)
    healed = train(out)
    assert healed.failed == ()
    assert None not in healed.validation.values
    check_complete(healed)


def test_where_every_seed_fails_there_is_a_result_without_a_mean(tmp_path: Path) -> None:
    result = train(tmp_path / "all", "0-1", loss="nan-loss:at=2")
    assert (result.runs, len(result.failed), result.parameters, result.test) == ((), 2, None, None)
    assert (result.validation.mean, result.validation.values) == (None, (None, None))
    with pytest.raises(NnkitError, match="2 of 2 seeds failed") as error:
        check_complete(result)
    assert error.value.exit_code == 1


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        ({"monitor": "nonsense"}, UsageError, "no metric"),
        ({"model": "tiny-net:slow_step=1"}, UsageError, "slow_step"),
        ({"dataset": "mnist", "data_root": "nowhere"}, NnkitError, "nowhere"),
    ],
)
def test_what_is_wrong_with_all_seeds_is_told_once_and_leaves_nothing(
    change: dict[str, Any], kind: type[NnkitError], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NNKIT_DATA", raising=False)
    with pytest.raises(kind, match=said) as error:
        train(tmp_path / "new" / "all", **change)
    assert "seeds failed" not in error.value.message
    assert not (tmp_path / "new").exists()


def test_after_a_finished_seed_one_that_cannot_begin_is_its_own_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr(loop, "_compute", after(13, broken, loop._compute))  # the second seed's first step
    result = train(tmp_path / "all")
    assert [run.seed for run in result.runs] == [0, 2]
    assert [(seed.seed, seed.exit_code) for seed in result.failed] == [(1, 2)]
    assert "no room" in result.failed[0].error


def test_what_is_wrong_when_going_on_removes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "all"
    train(out, "0-1", epochs=1)
    (out / "cells" / "seed-0" / "summary.json").write_text("{")
    with pytest.raises(CheckpointError, match="is damaged"):
        train(out, "0-1", epochs=1)
    assert (out / "cells" / "seed-1" / "summary.json").is_file()
    assert json.loads((out / "status.json").read_text())["state"] == "failed"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seed": 1, "seeds": "0-2"}, "cannot be given together"),
        ({"seeds": "1,1"}, "a seed is given twice"),
        ({"seeds": "4-1"}, "seeds"),
        ({"seeds": []}, "seeds"),
        ({"jobs": 2}, "jobs: is for several seeds"),
    ],
)
def test_seeds_that_say_nothing_clear_are_refused(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        nnkit.train(**QUICK, **options, out=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_the_seeds_of_an_option_beat_the_seed_of_a_file_and_the_other_way_round(tmp_path: Path) -> None:
    one = nnkit.train(**QUICK, seed=7, out=tmp_path / "one")
    several: Any = nnkit.train(config=[one.run_dir / "config.toml"], seeds="7", out=tmp_path / "several")
    assert several.runs[0].best == one.best
    again = nnkit.train(config=[several.run_dir / "config.toml"], seed=7, out=tmp_path / "again")
    assert again.best == one.best


@pytest.mark.slow
def test_several_processes_give_what_one_gives(tmp_path: Path) -> None:
    one = train(tmp_path / "one", "0-2")
    watch = Watch()
    two = train(tmp_path / "two", "0-2", jobs=2, watcher=watch, observers=[watch])
    assert (two.validation, two.test) == (one.validation, one.test)
    assert sorted(watch.titles) == ["seed 0", "seed 1", "seed 2"]
    assert watch.seeds == []
    for ours, theirs in zip(two.runs, one.runs, strict=True):
        same_training(ours.run_dir, theirs.run_dir)


def test_the_folder_is_given_free_when_its_last_state_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: list[str] = []
    close = RunDirectory.close

    def closed(folder: RunDirectory) -> None:
        if folder.path == tmp_path / "all":
            states.append(folder.status().state)
        close(folder)

    monkeypatch.setattr(RunDirectory, "close", closed)
    train(tmp_path / "all", [0])
    assert states == ["finished"]
