"""The table of a training with several seeds: a row for each, the mean, the interval."""

from __future__ import annotations

import pytest

from nnkit.present.train_seeds import train_seeds_table
from nnkit.results.train_seeds import FailedSeed, TrainSeedsResult
from present.reading import read_columns, read_pairs, shows

WIDTHS = [40, 80, 120]


@pytest.mark.parametrize("width", WIDTHS)
def test_each_seed_has_its_metrics_and_time(several: TrainSeedsResult, width: int) -> None:
    rows = read_columns(train_seeds_table(several, width=width), "seed")
    assert list(rows) == ["0", "2", "4", "mean", "95 %"]
    assert several.test is not None
    for at, run in enumerate(several.runs):
        row = rows[str(run.seed)]
        assert row["epochs"] == str(run.epochs)
        assert row["best epoch"] == str(run.best.epoch)
        assert shows(row["val accuracy"], several.validation.values[at] or 0, "%")
        assert shows(row["test accuracy"], several.test.values[at] or 0, "%")
        assert row["time"].endswith("s")


@pytest.mark.parametrize("width", WIDTHS)
def test_below_stand_the_means_and_their_intervals(several: TrainSeedsResult, width: int) -> None:
    rows = read_columns(train_seeds_table(several, width=width), "seed")
    assert several.test is not None
    for name, over in (("val accuracy", several.validation), ("test accuracy", several.test)):
        assert over.mean is not None
        assert over.ci95 is not None
        low, high = over.ci95
        assert shows(rows["mean"][name], over.mean, "%")
        assert rows["95 %"][name] == f"{100 * low:.2f} to {100 * high:.2f} %"


def test_the_head_says_what_was_trained_and_the_end_where_each_run_is(several: TrainSeedsResult) -> None:
    text = train_seeds_table(several, width=120)
    head = dict(read_pairs(text)[0])
    assert (head["run"], head["model"]) == (str(several.run_dir), "tiny-net")
    assert head["time"].endswith(" for 3 seeds")
    assert text.rpartition("\n\n")[2].splitlines() == [str(run.run_dir) for run in several.runs]


def test_two_seeds_have_a_mean_without_an_interval_and_untested_ones_no_test(
    several: TrainSeedsResult,
) -> None:
    over = several.validation.model_copy(update={"ci95": None})
    text = train_seeds_table(several.model_copy(update={"validation": over, "test": None}))
    assert "test" not in text.replace(str(several.run_dir), "")
    assert "95 %" not in text
    assert "An interval needs at least three seeds." in text


def test_a_failed_seed_stands_below_with_its_error(several: TrainSeedsResult) -> None:
    failed = (FailedSeed(seed=2, error="RuntimeError: no room", exit_code=1),)
    runs = tuple(run for run in several.runs if run.seed != 2)
    text = train_seeds_table(several.model_copy(update={"failed": failed, "runs": runs}))
    assert list(read_columns(text, "seed")) == ["0", "4", "mean", "95 %"]
    assert "failed: seed 2  RuntimeError: no room" in text
    none = train_seeds_table(several.model_copy(update={"failed": failed, "runs": (), "parameters": None}))
    assert "mean" not in none
    assert "failed: seed 2" in none
