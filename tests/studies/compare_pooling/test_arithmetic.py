"""What a comparison says of accuracies that are known, and what it asks each of its runs to do.

Training is replaced by a table of accuracies: each run leaves what a run leaves, and notes its configuration.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor, nn

from nnkit import files, registry
from nnkit.api import compare_pooling
from nnkit.config import Resolved
from nnkit.errors import InterruptedRun, NnkitError, PartialError, UsageError
from nnkit.results.compare_pooling import ComparePoolingResult
from nnkit.results.metrics import Classification
from nnkit.results.train import Best, BestMetrics, Solver, TrainResult
from nnkit.runs.directory import RunDirectory
from nnkit.spec import Spec
from nnkit.studies.compare_pooling.study import check_complete
from nnkit.studies.train import study as train
from nnkit.studies.train.config import TrainConfig
from nnkit.training.observers import Observer
from nnkit.types import Pooling, nested
from tiny_plugin import TinyPlugin


class Pooled(nn.Module):
    """A width times ten parameters and five more, fourteen for the pooling "avg".

    Few widths and depths, so that the closest is found at once.
    """

    def __init__(
        self,
        *,
        width: Literal[4, 22, 23, 24, 25, 48, 49, 50, 51] = 4,
        depth: Literal[1, 12, 13, 14] = 1,
        pooling: Pooling = nested("max"),
    ) -> None:
        super().__init__()
        extra = 5 + 9 * (type(pooling).__name__ == "Avg")
        self.weight = nn.Parameter(torch.empty(10 * width * depth + extra))

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.flatten(1)[:, :3]


ACCURACIES: Mapping[tuple[str, int], float] = {
    ("max", 3): 0.95, ("max", 1): 0.96, ("max", 8): 0.94,
    ("avg", 3): 0.90, ("avg", 1): 0.91, ("avg", 8): 0.90,
    ("amax", 3): 0.95, ("amax", 1): 0.90, ("amax", 8): 0.97,
}  # fmt: skip


def summary_of(folder: Path, accuracy: float, by_size: Mapping[str, float]) -> dict[str, Any]:
    """What a run leaves that took 1.5 seconds and came to this accuracy on its test."""
    test = Classification(loss=0.1, accuracy=accuracy, accuracy_by_resolution=by_size)
    best = BestMetrics(validation=test, record={"val_accuracy": accuracy})
    return TrainResult(
        run_dir=folder, dataset="tiny", model="pooled", loss="cross-entropy", parameters=1, epochs=1,
        stopped_by="epochs", best=Best(epoch=1, metric="val_accuracy", metrics=best), test=test,
        solver=Solver(name="gradient"), seconds=1.5, images_per_s=1.0, seed=0, device="cpu",
    ).document()  # fmt: skip


@dataclass
class Trainer:
    """Stands where training stands; `configs` are those that it was asked to run, in order."""

    accuracies: dict[tuple[str, int], float] = field(default_factory=lambda: dict(ACCURACIES))
    errors: dict[tuple[str, int], BaseException] = field(default_factory=dict)
    configs: list[TrainConfig] = field(default_factory=list)
    advised: list[bool] = field(default_factory=list)
    drawn: dict[str, Any] = field(default_factory=dict)
    """What the figures were given."""

    def run(
        self,
        resolved: Resolved[TrainConfig],
        *,
        observers: Sequence[Observer] = (),
        finish: object = None,
        advise: bool = True,
    ) -> None:
        config = resolved.config
        assert config.model is not None
        assert config.out is not None
        assert not config.out.exists()
        self.configs.append(config)
        self.advised.append(advise)
        key = (str(config.model.settings["pooling"]), config.seed)
        (config.out / "figures").mkdir(parents=True)
        if key in self.errors:
            raise self.errors[key]
        accuracy = self.accuracies[key]
        matrix = [[config.seed, 1, 0], [0, 2, 0], [0, 0, 3]]
        (config.out / "figures" / "confusion.json").write_text(
            json.dumps({"class_names": ["a", "b", "c"], "matrices": {"all": matrix}})
        )
        by_size = {"12x12": accuracy - 0.1, "8x8": accuracy - 0.2, "10x6": accuracy}
        (config.out / "summary.json").write_text(json.dumps(summary_of(config.out, accuracy, by_size)))

    def draw(self, name: str) -> Callable[..., list[Path]]:
        def write(folder: Path, *given: Any) -> list[Path]:
            assert folder.name == "figures"
            self.drawn[name] = given
            return []

        return write


@pytest.fixture
def trainer(tiny: TinyPlugin, monkeypatch: pytest.MonkeyPatch) -> Trainer:
    """The tiny dataset, the model "pooled", and training by the table."""
    module = ModuleType("pooled_model")
    module.Pooled = Pooled  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pooled_model", module)
    info = tiny.runs.parent / "site" / "pooled_model-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pooled-model\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[nnkit.models]\npooled = pooled_model:Pooled\n")
    registry.refresh()
    monkeypatch.delenv("NNKIT_DATA", raising=False)
    found = Trainer()
    monkeypatch.setattr(train, "train", found.run)
    for name in ("write_comparison", "write_confusion"):  # most of the time of such a comparison
        monkeypatch.setattr(f"nnkit.present.figures.{name}", found.draw(name))
    monkeypatch.setattr("nnkit.present.figures.draw_training", id)  # it crosses to processes
    return found


@pytest.fixture
def compare(trainer: Trainer, tmp_path: Path) -> Callable[..., ComparePoolingResult]:
    """A comparison of three poolings over the seeds 3, 1 and 8, with other options where they are given."""

    def run(**options: Any) -> ComparePoolingResult:
        usual = {
            "dataset": "tiny", "model": "pooled", "pooling": ["max", "avg", "amax"], "seeds": [3, 1, 8],
            "budget": 500, "device": "cpu", "out": str(tmp_path / "out"),
        }  # fmt: skip
        return compare_pooling(**{**usual, **options})

    return run


Compare = Callable[..., ComparePoolingResult]


def values_of(pooling: str) -> list[float]:
    return [ACCURACIES[pooling, seed] for seed in (3, 1, 8)]


def test_means_intervals_and_differences_are_scipys_of_the_pairs_by_seed(compare: Compare) -> None:
    document = compare().document()
    for row, pooling in zip(document["results"], ("max", "avg", "amax"), strict=True):
        values = values_of(pooling)
        low, high = scipy.stats.t.interval(0.95, 2, loc=np.mean(values), scale=scipy.stats.sem(values))
        assert row["pooling"] == pooling
        assert row["accuracy"]["values"] == values
        assert row["accuracy"]["mean"] == pytest.approx(np.mean(values))
        assert row["accuracy"]["ci95"] == pytest.approx([max(low, 0), min(high, 1)])
        # By area: 10x6 is 60 pixels, 8x8 is 64.
        assert list(row["by_resolution"]) == ["10x6", "8x8", "12x12"]
        for size, less in (("10x6", 0), ("8x8", 0.2), ("12x12", 0.1)):
            assert row["by_resolution"][size]["values"] == pytest.approx([v - less for v in values])
            assert row["by_resolution"][size]["mean"] == pytest.approx(np.mean(values) - less)
    pairs = {(pair["a"], pair["b"]): pair for pair in document["comparisons"]}
    assert list(pairs) == [("max", "avg"), ("max", "amax"), ("avg", "amax")]
    for (a, b), pair in pairs.items():
        theirs = scipy.stats.ttest_rel(values_of(a), values_of(b))
        interval = theirs.confidence_interval(0.95)
        assert pair["difference"] == pytest.approx(np.mean(values_of(a)) - np.mean(values_of(b)))
        assert pair["ci95"] == pytest.approx([interval.low, interval.high])
        assert pair["pairs"] == 3
        assert (pair["better"] is not None) == (theirs.pvalue < 0.05)
    assert (pairs["max", "avg"]["better"], pairs["max", "amax"]["better"]) == ("max", None)
    assert pairs["max", "amax"]["verdict"] == "no difference shown"
    assert (document["winner"], document["failed"]) == (None, [])
    assert document["seconds"] == 9 * 1.5


def test_a_pair_says_the_better_one_and_by_how_many_points_from_either_side(compare: Compare) -> None:
    # 4.67 points; scipy's paired interval is from 3.23 to 6.10.
    interval = scipy.stats.ttest_rel(values_of("max"), values_of("avg")).confidence_interval(0.95)
    low, high = 100 * interval.low, 100 * interval.high
    said = f"max better by 4.67 points (95 % {low:.2f} to {high:.2f})"
    for at, poolings in enumerate((["max", "avg"], ["avg", "max"])):
        result = compare(pooling=poolings, out=None, runs_dir=str(Path("runs") / str(at)))
        (pair,) = result.comparisons
        assert (pair["a"], pair["b"]) == tuple(poolings)
        assert pair["verdict"] == said
        assert pair["better"] == result.winner == "max"
        assert np.sign(pair["difference"]) == (1 if at == 0 else -1)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_winner_beats_each_of_the_others_by_an_interval(compare: Compare, trainer: Trainer) -> None:
    for seed in (3, 1, 8):
        trainer.accuracies["amax", seed] = trainer.accuracies["avg", seed] - 0.01 - seed / 10_000
    assert compare().winner == "max"
    one = compare(pooling=["max"], out="one")
    assert (one.winner, one.comparisons) == (None, ())
    single = compare(seeds=[3], out="single")
    assert single.winner is None
    assert [pair["verdict"] for pair in single.comparisons] == [None] * 3
    assert all(pair["ci95"] is None for pair in single.comparisons)
    assert single.comparisons[0]["difference"] == pytest.approx(0.05)


def test_runs_of_a_pair_differ_in_their_model_alone_and_stand_side_by_side(
    compare: Compare, trainer: Trainer, tmp_path: Path
) -> None:
    result = compare(
        seeds=[3, 1], epochs=7, lr=0.02, batch_size=33, precision="bf16", limit=40, threads=1,
        data_root=str(tmp_path / "data"), pooling=["max", "avg"], dataset="tiny:noise=5.0",
    )  # fmt: skip
    assert [(config.seed, str(config.model)) for config in trainer.configs] == [
        (seed, f"pooled:width={width},pooling={pooling}")
        for seed in (3, 1)
        for pooling, width in (("max", 49), ("avg", 49))
    ]
    assert trainer.advised == [False] * 4
    for config in trainer.configs:
        assert config == TrainConfig(
            dataset=Spec("tiny", {"noise": 5.0}), model=config.model, seed=config.seed, epochs=7,
            optimizer=Spec("adam", {"lr": 0.02}), batch_size=33, precision="bf16", limit=40, threads=1,
            data_root=tmp_path / "data", device="cpu", out=config.out,
        )  # fmt: skip
    folders = [str(config.out) for config in trainer.configs]
    assert len(set(folders)) == 4
    assert [row.cells for row in result.results] == [
        (folders[0], folders[2]),
        (folders[1], folders[3]),
    ]
    assert [Path(folder).name for folder in folders] == [
        "0-max-seed-3", "1-avg-seed-3", "0-max-seed-1", "1-avg-seed-1",
    ]  # fmt: skip
    assert (result.epochs, result.seeds, result.budget, result.vary) == (7, (3, 1), 500, "width")
    assert (result.dataset, result.model, result.run_dir) == ("tiny:noise=5.0", "pooled", tmp_path / "out")


def test_without_options_five_seeds_train_max_and_avg_at_the_budget_of_mnist_convnet(
    trainer: Trainer,
) -> None:
    trainer.accuracies = {(pooling, seed): 0.5 for pooling in ("max", "avg") for seed in range(5)}
    result = compare_pooling(dataset="tiny", model="pooled")
    assert (result.budget, result.epochs, result.seeds) == (29_066, 5, (0, 1, 2, 3, 4))
    assert [row["pooling"] for row in result.results] == ["max", "avg"]
    config = trainer.configs[0]
    assert (config.epochs, config.lr, config.batch_size) == (5, None, 64)
    assert (config.precision, config.limit, config.device) == ("fp32", None, "auto")
    assert config.threads is None
    assert result.run_dir.parent == Path("runs") / "compare-pooling"


def test_the_threads_are_shared_among_the_jobs(compare: Compare, trainer: Trainer) -> None:
    for at, (jobs, threads, each) in enumerate(((1, 4, 4), (2, 4, 2), (3, 4, 1), (8, 4, 1))):
        torch.set_num_threads(1)
        compare(jobs=jobs, threads=threads, pooling=["max"], seeds=[3], out=f"out-{at}")
        assert trainer.configs[-1].threads == each
    torch.set_num_threads(2)
    compare(jobs=2, pooling=["max"], seeds=[3], out="own")
    assert trainer.configs[-1].threads == 1
    torch.set_num_threads(1)


def test_each_pooling_gets_the_value_of_the_setting_that_meets_the_budget(
    compare: Compare, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "nnkit"):
        rows = compare(pooling=["max", "avg"], seeds=[3], budget=508).results
    # 10 · width + 5, and 10 · width + 14 for avg.
    assert [(row["width"], row["parameters"]) for row in rows] == [(50, 505), (49, 504)]
    assert not caplog.records
    deep = compare(pooling=["max"], seeds=[3], budget=508, vary="depth", model="pooled:width=4", out="deep")
    assert [(row["depth"], row["parameters"]) for row in deep.results] == [(13, 525)]
    # 525 is 17 away: more than two percent of 508.
    (warned,) = caplog.messages
    assert warned == "max: the closest depth, 13, has 525 parameters, 17 away from the budget of 508"


def test_two_percent_away_from_the_budget_is_near_enough(
    compare: Compare, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "nnkit"):
        compare(pooling=["max"], seeds=[3], budget=250, out="near")  # 245 or 255: 5, which is 2 %
        assert not caplog.records
        compare(pooling=["max"], seeds=[3], budget=249, vary="width", out="nearer")
        assert not caplog.records
        compare(pooling=["max"], seeds=[3], budget=230, out="far")  # 225 or 235: 5 of 230 are more
    assert len(caplog.records) == 1


def test_the_figures_show_the_document_and_the_confusion_summed_over_the_seeds(
    compare: Compare, trainer: Trainer, caplog: pytest.LogCaptureFixture
) -> None:
    result = compare()
    assert trainer.drawn["write_comparison"] == (result,)
    matrices, names = trainer.drawn["write_confusion"]
    assert names == ("a", "b", "c")
    assert {pooling: matrix.tolist() for pooling, matrix in matrices.items()} == {
        pooling: [[3 + 1 + 8, 3, 0], [0, 6, 0], [0, 0, 9]] for pooling in ("max", "avg", "amax")
    }
    # A matrix that cannot be read is missing with a warning; a pooling without any has none.
    cells = [Path(folder) for row in result.results for folder in row["cells"]]
    for folder in (cells[0], *cells[3:6]):
        (folder / "figures" / "confusion.json").write_text("{")
    with caplog.at_level(logging.WARNING, "nnkit"):
        compare()
    assert len(caplog.messages) == 4
    matrices, _ = trainer.drawn["write_confusion"]
    assert list(matrices) == ["max", "amax"]
    assert matrices["max"][0, 0] == 1 + 8


def test_cells_that_fail_are_told_with_their_errors_and_left_out_of_the_pairs(
    compare: Compare, trainer: Trainer
) -> None:
    trainer.errors = {("avg", 1): UsageError("too small", hint="x"), ("amax", 8): RuntimeError("boom")}
    result = compare()
    failed = [(row["pooling"], row["seed"], row["error"], row["exit_code"]) for row in result.failed]
    assert [row[:2] for row in failed] == [("avg", 1), ("amax", 8)]
    assert failed[0][2].startswith("too small")
    assert failed[1][2:] == ("RuntimeError: boom", 1)
    assert failed[0][3] == 2
    rows = {row["pooling"]: row for row in result.results}
    assert rows["avg"]["accuracy"]["values"] == (0.90, None, 0.90)
    assert rows["avg"]["by_resolution"]["8x8"]["values"] == (pytest.approx(0.7), None, pytest.approx(0.7))
    pairs = {(pair["a"], pair["b"]): pair for pair in result.comparisons}
    assert pairs["max", "avg"]["pairs"] == 2
    assert pairs["max", "avg"]["difference"] == pytest.approx(((0.95 - 0.9) + (0.94 - 0.9)) / 2)
    assert pairs["avg", "amax"]["pairs"] == 1
    status = json.loads((result.run_dir / "status.json").read_text())
    assert (status["state"], status["reason"]) == ("failed", "2 of 9 cells failed")
    with pytest.raises(PartialError, match=r"2 of 9 cells failed, the first \(avg, seed 1\): too small"):
        check_complete(result)
    assert result.seconds == 7 * 1.5
    # What failed is tried again, and nothing else.
    trainer.errors.clear()
    num = len(trainer.configs)
    again = compare()
    assert [(str(c.model.settings["pooling"]), c.seed) for c in trainer.configs[num:] if c.model] == [
        ("avg", 1),
        ("amax", 8),
    ]
    assert again.failed == ()
    check_complete(again)
    status = json.loads((result.run_dir / "status.json").read_text())
    assert (status["state"], status["reason"]) == ("finished", "all cells are done")


def test_where_every_cell_fails_the_exit_code_is_the_first_ones(compare: Compare, trainer: Trainer) -> None:
    trainer.errors = {key: NnkitError("no") for key in ACCURACIES}
    with pytest.raises(NnkitError, match="9 of 9 cells failed") as error:
        check_complete(compare())
    assert (type(error.value), error.value.exit_code) == (NnkitError, 1)


@pytest.mark.parametrize(
    ("stop", "code"), [(KeyboardInterrupt(), 130), (InterruptedRun("terminated", exit_code=143), 143)]
)
def test_an_interrupt_ends_the_comparison_with_its_code_and_says_how_to_go_on(
    compare: Compare, trainer: Trainer, stop: BaseException, code: int, tmp_path: Path
) -> None:
    trainer.errors = {("max", 1): stop}
    with pytest.raises(InterruptedRun, match="interrupted with 3 of 9 cells done") as error:
        compare()
    assert error.value.exit_code == code
    out = tmp_path / "out"
    again = f"nnkit compare-pooling --config {out / 'config.toml'} --out {out}"
    assert error.value.hint == f"to go on: {again}"
    assert json.loads((out / "status.json").read_text())["state"] == "interrupted"
    trainer.errors.clear()
    assert compare().failed == ()
    assert len(trainer.configs) == 3 + 1 + 6


def test_where_it_runs_and_with_how_many_workers_may_differ_between_two_starts(
    compare: Compare, trainer: Trainer, tmp_path: Path
) -> None:
    first = compare(threads=1)
    again = compare(
        threads=2, jobs=3, data_root=str(tmp_path), download=True, runs_dir=str(tmp_path / "elsewhere")
    )
    torch.set_num_threads(1)
    assert len(trainer.configs) == 9
    assert again == first


def test_a_start_that_would_compare_something_else_is_refused_with_the_difference_alone(
    compare: Compare, trainer: Trainer
) -> None:
    compare()
    for change, said in (
        ({"epochs": 6}, "epochs is 5 there, 6 here"),
        ({"lr": 0.5}, "lr is not given there, 0.5 here"),
        ({"batch_size": 32}, "batch_size is 64 there, 32 here"),
        ({"precision": "bf16"}, "precision is .fp32. there, .bf16. here"),
        ({"limit": 9}, "limit is not given there, 9 here"),
        ({"budget": 400}, "budget is 500 there, 400 here"),
        ({"vary": "depth"}, "vary is .width. there, .depth. here"),
        ({"seeds": [1, 3, 8]}, "seeds is .3, 1, 8. there, .1, 3, 8. here"),
        ({"pooling": ["max", "avg"]}, "pooling is .* there, [^;]* here"),
        ({"device": "auto"}, "device is .cpu. there, .auto. here"),
        ({"dataset": "tiny:noise=5.0"}, "dataset is .tiny. there, .* here"),
        ({"model": "pooled:depth=12"}, "model is .pooled. there, .pooled:depth=12. here"),
    ):
        with pytest.raises(UsageError) as refused:
            compare(**change)
        _, holds, differences = refused.value.message.partition(" holds another comparison: ")
        assert holds
        assert re.fullmatch(said, differences), differences
    assert len(trainer.configs) == 9


def test_a_comparison_at_work_in_its_folder_is_not_disturbed(
    compare: Compare, trainer: Trainer, tmp_path: Path
) -> None:
    compare()
    at_work = RunDirectory.reopen(tmp_path / "out")
    at_work.set_state("running")
    with pytest.raises(UsageError, match=f"in use by process {os.getpid()} on {socket.gethostname()}"):
        compare()
    at_work.close()  # as the system does for a process that was killed: its state stays "running"
    compare()
    assert len(trainer.configs) == 9


def test_a_comparison_killed_before_its_first_state_was_written_goes_on(
    compare: Compare, trainer: Trainer, tmp_path: Path
) -> None:
    compare()
    (tmp_path / "out" / "status.json").unlink()
    (tmp_path / "out" / f".ab.{files.host()}.{2**22 + 1}.tmp").write_text("half a status")
    compare()
    assert len(trainer.configs) == 9
    assert not list((tmp_path / "out").glob("*.tmp"))
    assert RunDirectory(tmp_path / "out").state() == "finished"
