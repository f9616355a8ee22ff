"""A comparison pairs its seeds, matches its budgets, goes on where it stopped, and shows what it claims."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.image_files import encoded, write_folder
from nnkit.api import compare_pooling
from nnkit.errors import ConfigError, InterruptedRun, NnkitError, PartialError, UsageError
from nnkit.results.compare_pooling import Accuracy, ComparePoolingResult, FailedCell, PoolingRow
from nnkit.runs.directory import RunDirectory
from nnkit.studies.cells import Cell
from nnkit.studies.compare_pooling import study
from nnkit.studies.compare_pooling.study import check_complete, verdict
from nnkit.studies.statistics import estimate
from nnkit.training import loop


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNKIT_CACHE", str(tmp_path_factory.mktemp("decoded")))


def make_images(folder: Path) -> Path:
    """Two classes, light and dark, in two sizes: a few dozen images, learnt in a moment."""
    rng = np.random.default_rng(0)
    files = {}
    for kind, level in (("dark", 60), ("light", 190)):
        for number in range(20):
            side = 12 + 4 * (number % 2)
            pixels = np.clip(rng.normal(level, 40, (side, side)), 0, 255).astype(np.uint8)
            files[f"{kind}/{number:02}.png"] = encoded(pixels)
    return write_folder(folder, files)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("images") / "shades")


@pytest.fixture
def options(images: Path) -> dict[str, Any]:
    return {
        "dataset": f"image-folder:path={images}",
        "budget": 6000,
        "seeds": "0-1",
        "epochs": 1,
        "device": "cpu",
    }


class Watch:
    """Keeps what it is told; asks to stop after `stop_after` cells."""

    def __init__(self, stop_after: int = 0) -> None:
        self.done_at_start = -1
        self.titles: list[str] = []
        self.errors: list[str] = []
        self._stop_after = stop_after

    def begin(self, folder: Path, num_cells: int, num_done: int) -> None:
        self.done_at_start = num_done

    def cell_done(self, cell: Cell, summary: Mapping[str, Any] | None, error: str) -> None:
        self.titles.append(cell.title)
        self.errors.append(error)
        if len(self.titles) == self._stop_after:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def done(images: Path, tmp_path_factory: pytest.TempPathFactory) -> ComparePoolingResult:
    """One whole comparison, which many tests read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NNKIT_CACHE", str(tmp_path_factory.mktemp("decoded")))
        return compare_pooling(
            dataset=f"image-folder:path={images}", budget=6000, seeds=[0, 1], epochs=1, device="cpu",
            pooling=["max", "avg", "amax"], out=str(tmp_path_factory.mktemp("done") / "all"),
        )  # fmt: skip


def test_each_pooling_meets_the_budget_with_its_own_width(done: ComparePoolingResult) -> None:
    # 16·10 + 4,640 + w·289 + 2·(w + 1) for one channel and two classes.
    totals = [4802 + 291 * width for width in range(1, 20)]
    for row in done.results:
        assert row["parameters"] == min(totals, key=lambda total: abs(total - 6000))
        assert row["parameters"] == 4802 + 291 * row["width"]


def test_results_come_from_the_test_of_each_cell_in_the_order_of_the_seeds(
    done: ComparePoolingResult,
) -> None:
    for row in done.results:
        summaries = [json.loads((Path(cell) / "summary.json").read_text()) for cell in row["cells"]]
        assert [summary["seed"] for summary in summaries] == list(done.seeds)
        assert [summary["test"]["accuracy"] for summary in summaries] == list(row["accuracy"]["values"])
        assert row["accuracy"]["mean"] == pytest.approx(np.mean(row["accuracy"]["values"]))
        assert list(row["by_resolution"]) == ["12x12", "16x16"]
        assert all(row["pooling"] in summary["model"] for summary in summaries)


def test_every_pair_is_compared_once_and_the_difference_is_that_of_the_means(
    done: ComparePoolingResult,
) -> None:
    means = {row["pooling"]: row["accuracy"]["mean"] for row in done.results}
    assert [(pair["a"], pair["b"]) for pair in done.comparisons] == [
        ("max", "avg"), ("max", "amax"), ("avg", "amax"),
    ]  # fmt: skip
    for pair in done.comparisons:
        assert pair["difference"] == pytest.approx(means[pair["a"]] - means[pair["b"]])
        assert pair["pairs"] == 2


def test_runs_of_one_seed_see_the_same_images_and_start_alike(done: ComparePoolingResult) -> None:
    # max and amax differ in their gradients at equal values alone, so the first loss of a pair is equal.
    first = {}
    for row in (done.results[0], done.results[2]):
        lines = (Path(row["cells"][0]) / "metrics.jsonl").read_text().splitlines()
        first[row["pooling"]] = json.loads(lines[0])["loss"]
    assert first["max"] == pytest.approx(first["amax"], rel=1e-6)


def test_the_folder_says_everything_and_sums_the_confusion_over_the_seeds(
    done: ComparePoolingResult,
) -> None:
    folder = done.run_dir
    assert json.loads((folder / "summary.json").read_text()) == done.document()
    assert json.loads((folder / "status.json").read_text())["state"] == "finished"
    assert not (folder / "metrics.jsonl").exists()
    names = {path.name for path in (folder / "figures").iterdir()}
    assert names == {"comparison.png", "comparison.csv", "confusion.png", "confusion.json"}
    matrices = json.loads((folder / "figures" / "confusion.json").read_text())["matrices"]
    for row in done.results:
        accuracy = np.trace(matrices[row["pooling"]]) / np.sum(matrices[row["pooling"]])
        assert accuracy == pytest.approx(row["accuracy"]["mean"])


def test_its_own_config_file_repeats_it_without_repeating_a_cell(done: ComparePoolingResult) -> None:
    watch = Watch()
    again = compare_pooling(
        config=[done.run_dir / "config.toml"], out=str(done.run_dir), jobs=2, watcher=watch
    )
    assert watch.done_at_start == 6
    assert watch.titles == []
    assert again == done


def test_an_interrupted_comparison_goes_on_and_repeats_no_finished_cell(
    options: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "stopped"
    with pytest.raises(InterruptedRun, match="1 of 4 cells") as stopped:
        compare_pooling(**options, out=str(out), watcher=Watch(stop_after=1))
    assert stopped.value.exit_code == 130
    assert f"--out {out}" in stopped.value.hint
    assert json.loads((out / "status.json").read_text())["state"] == "interrupted"
    first = out / "cells" / "0-max-seed-0"
    before = {path: path.stat().st_mtime_ns for path in first.rglob("*") if path.is_file()}
    # A cell that a killed process left half done is done again.
    half = out / "cells" / "1-avg-seed-0"
    half.mkdir()
    (half / "metrics.jsonl").write_text("torn")

    watch = Watch()
    result = compare_pooling(**options, out=str(out), watcher=watch)
    assert watch.done_at_start == 1
    assert len(watch.titles) == 3
    assert {path: path.stat().st_mtime_ns for path in first.rglob("*") if path.is_file()} == before
    assert not result.failed
    assert all(value is not None for row in result.results for value in row["accuracy"]["values"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_cell_that_broke_off_amid_an_epoch_goes_on_there_to_the_same_bits(
    options: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: int,
) -> None:
    options |= {"batch_size": 4, "epochs": 2, "seeds": [0]}
    whole = compare_pooling(**options, out=str(tmp_path / "whole"))
    out, steps, compute = tmp_path / "stopped", [0], loop._compute

    def counted(*parts: Any) -> Any:
        steps[0] += 1
        if steps[0] == 3 + per_cell:  # the second cell's third step
            os.kill(os.getpid(), number)
        return compute(*parts)

    per_cell = steps_of(whole.run_dir / "cells" / "0-max-seed-0")
    with monkeypatch.context() as patch:
        patch.setattr(loop, "_compute", counted)
        with pytest.raises(InterruptedRun, match="interrupted with 1 of 2 cells done") as stopped:
            compare_pooling(**options, out=str(out))
    assert stopped.value.exit_code == 128 + number
    steps[0] = -1000
    with monkeypatch.context() as patch, caplog.at_level("INFO", logger="nnkit"):
        patch.setattr(loop, "_compute", counted)
        again = compare_pooling(config=[out / "config.toml"], out=str(out))
    assert "going on after step 3, with 0 whole epochs" in caplog.text
    assert steps[0] == -1000 + per_cell - 3, "no step is trained twice"
    assert again.comparisons == whole.comparisons
    assert [row.accuracy for row in again.results] == [row.accuracy for row in whole.results]
    for cell in RunDirectory(out).cells():
        weights = cell.checkpoints.best()
        expected = RunDirectory(whole.run_dir).cell(cell.name).checkpoints.best()
        assert weights is not None
        assert expected is not None
        assert weights.read_bytes() == expected.read_bytes()


def steps_of(run: Path) -> int:
    """How many steps a run took."""
    return RunDirectory(run).checkpoints.states()[0][0].step


def test_what_is_put_together_from_two_starts_is_what_one_start_gives(
    done: ComparePoolingResult, options: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "copy"
    shutil.copytree(done.run_dir, out)
    shutil.rmtree(out / "cells" / "1-avg-seed-1")
    again = compare_pooling(**options, pooling=["max", "avg", "amax"], out=str(out))
    keys = ("accuracy", "by_resolution", "parameters")
    assert [[row[key] for key in keys] for row in again.results] == [
        [row[key] for key in keys] for row in done.results
    ]
    assert again.comparisons == done.comparisons


def test_a_folder_with_another_comparison_is_refused_with_the_difference(
    done: ComparePoolingResult, options: dict[str, Any]
) -> None:
    with pytest.raises(UsageError, match=r"epochs is 1 there, 2 here.*") as refused:
        compare_pooling(**{**options, "epochs": 2, "pooling": ["max", "avg", "amax"]}, out=str(done.run_dir))
    assert "budget" not in refused.value.message


def test_a_folder_with_something_else_or_in_use_is_refused(
    done: ComparePoolingResult, options: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="already there"):
        compare_pooling(**options, out=str(tmp_path))
    with pytest.raises(UsageError, match="no comparison"):
        compare_pooling(**options, out=done.results[0]["cells"][0])
    out = tmp_path / "busy"
    out.mkdir()
    for name in ("config.toml", "status.json"):
        shutil.copy(done.run_dir / name, out)
    at_work = RunDirectory.reopen(out)
    with pytest.raises(UsageError, match="in use"):
        compare_pooling(config=[out / "config.toml"], out=str(out))
    at_work.close()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"pooling": ["max", "max"]}, "given twice"),
        ({"pooling": ["nothing"]}, "no pooling is named"),
        ({"model": "linear"}, "takes no pooling"),
        ({"model": "varres-net:width=9"}, "model.width"),
        ({"model": "varres-net:pooling=avg"}, "model.pooling"),
        ({"seeds": [1, 1]}, "seed is given twice"),
        ({"seeds": "4-1"}, "seeds"),
        ({"vary": "depth"}, "no setting"),
        ({"budget": 0}, "budget"),
    ],
)
def test_mistakes_are_found_before_anything_is_written(
    options: dict[str, Any], change: dict[str, Any], error: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=error):
        compare_pooling(**{**options, **change}, out=str(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_a_transform_has_no_accuracy_to_compare(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="by accuracy"):
        compare_pooling(dataset="cifar-transform:source=synthetic", out=str(tmp_path / "new"))


def test_several_mistakes_are_told_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="2 mistakes"):
        compare_pooling(**{**options, "pooling": ["max:sharp=1"], "model": "varres-net:witdh=3"})


def test_failed_cells_stand_in_the_result_and_the_others_go_on(
    options: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "partly"
    with pytest.raises(InterruptedRun):
        compare_pooling(**options, out=str(out), watcher=Watch(stop_after=1))
    # A file where a cell's folder should be: that cell cannot be written, the rest can.
    (out / "cells" / "1-avg-seed-0").write_text("in the way")
    result = compare_pooling(**options, out=str(out))
    assert [(row["pooling"], row["seed"]) for row in result.failed] == [("avg", 0)]
    assert "already there" in result.failed[0]["error"]
    avg = result.results[1]["accuracy"]
    assert avg["values"][0] is None
    assert avg["mean"] == avg["values"][1]
    assert avg["ci95"] is None
    assert result.comparisons[0]["pairs"] == 1
    assert result.comparisons[0]["verdict"] is None
    with pytest.raises(PartialError, match="1 of 4 cells failed") as partial:
        check_complete(result)
    assert partial.value.exit_code == 3
    (out / "cells" / "1-avg-seed-0").unlink()
    healed = compare_pooling(**options, out=str(out))
    assert healed.failed == ()
    check_complete(healed)


def test_when_all_cells_fail_the_error_is_theirs(done: ComparePoolingResult) -> None:
    failed = [
        FailedCell(pooling=row.pooling, seed=seed, error="too small", exit_code=2)
        for row in done.results
        for seed in done.seeds
    ]
    with pytest.raises(NnkitError, match="too small") as error:
        check_complete(done.model_copy(update={"failed": failed}))
    assert error.value.exit_code == 2


def row(pooling: str, values: list[float | None]) -> PoolingRow:
    accuracy = Accuracy(mean=None, ci95=None, values=tuple(values))
    return PoolingRow(
        pooling=pooling, vary="width", value=1, parameters=1, accuracy=accuracy, by_resolution={}, cells=()
    )


def test_a_winner_beats_every_other_one_surely() -> None:
    a = row("a", [0.95, 0.96, 0.94])
    b = row("b", [0.90, 0.91, 0.90])
    c = row("c", [0.95, 0.90, 0.97])
    pairs = [study._compare(*both) for both in ((a, b), (a, c), (b, c))]
    assert pairs[0]["better"] == "a"
    assert pairs[0]["verdict"].startswith("a better by 4.67 points (95 % ")
    assert pairs[1]["verdict"] == "no difference shown"
    assert study._winner(["a", "b", "c"], pairs) is None
    assert study._winner(["a", "b"], pairs[:1]) == "a"


def test_the_verdict_reads_the_same_from_both_sides() -> None:
    a, b = row("a", [0.95, 0.96, 0.94]), row("b", [0.90, 0.91, 0.90])
    forward, backward = study._compare(a, b), study._compare(b, a)
    assert forward["verdict"] == backward["verdict"]
    assert forward["difference"] == -backward["difference"]


@pytest.mark.parametrize("num_seeds", [1, 2])
def test_one_or_two_seeds_give_no_verdict(num_seeds: int) -> None:
    pair = study._compare(row("a", [0.99, 0.98][:num_seeds]), row("b", [0.5, 0.51][:num_seeds]))
    assert (pair["ci95"], pair["verdict"], pair["better"]) == (None, None, None)
    assert study._winner(["a", "b"], [pair]) is None
    assert verdict(estimate([]), None) is None


@pytest.mark.slow
def test_several_processes_give_what_one_gives(
    done: ComparePoolingResult, options: dict[str, Any], tmp_path: Path
) -> None:
    watch = Watch()
    result = compare_pooling(**options, jobs=2, threads=2, out=str(tmp_path / "two"), watcher=watch)
    assert watch.errors == [""] * 4
    for ours, theirs in zip(result.results, done.results, strict=False):
        assert ours["accuracy"]["values"] == theirs["accuracy"]["values"]
