"""Curves of a run: what is drawn, and what stands in the data beside, are what the run told."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nnkit.present import figures
from nnkit.present.curves import moving_mean
from nnkit.results.train_seeds import TrainSeedsResult
from nnkit.runs.directory import RunDirectory
from nnkit.studies.runs import read_epochs
from nnkit.types import EpochResult
from present.conftest import Trained, drawn_figures


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def lines_of(axes: Any) -> dict[str, tuple[list[float], list[float]]]:
    """Each labelled line's points."""
    return {
        line.get_label(): (list(line.get_xdata()), list(line.get_ydata()))
        for line in axes.get_lines()
        if not line.get_label().startswith("_")
    }


def cell(value: float | None) -> str:
    return "" if value is None else str(value)


def test_training_and_validation_are_drawn_by_epoch_accuracy_in_percent(trained: Trained) -> None:
    loss, accuracy = trained.figures["curves.png"].axes
    numbers, best = [1, 2, 3, 4, 5, 6], trained.result.best["epoch"]
    assert best > 1
    for axes, name, factor in ((loss, "loss", 1), (accuracy, "accuracy", 100)):
        lines = lines_of(axes)
        assert lines.pop(f"best: epoch {best}")[0] == [best, best]
        assert lines == {
            words: (numbers, [factor * epoch.metrics[f"{split}_{name}"] for epoch in trained.epochs])
            for words, split in (("training", "train"), ("validation", "val"))
        }
        assert axes.get_xlabel() == "epoch"
        assert len({line.get_color() for line in axes.get_lines()}) == 3
    assert (loss.get_title(loc="left"), loss.get_ylabel()) == ("Loss", "loss")
    assert (accuracy.get_title(loc="left"), accuracy.get_ylabel()) == ("Accuracy", "accuracy (%)")


def test_of_a_transform_the_summed_error_is_drawn(transformed: Trained) -> None:
    loss, error = transformed.figures["curves.png"].axes
    best = f"best: epoch {transformed.result.best['epoch']}"
    assert lines_of(error).keys() == {"validation", best}
    assert lines_of(error)["validation"] == (
        [1, 2],
        [epoch.metrics["val_mae_sum"] for epoch in transformed.epochs],
    )
    assert error.get_ylabel() == "summed absolute error per image"
    assert lines_of(loss).keys() == {"training", "validation", best}


def test_the_data_of_the_curves_hold_every_metric_of_every_epoch(trained: Trained) -> None:
    rows = read_rows(trained.folder / "curves.csv")
    for row, epoch in zip(rows, trained.epochs, strict=True):
        wanted = {
            "epoch": epoch.epoch, "step": epoch.step,
            "best": int(epoch.epoch == trained.result.best["epoch"]), **epoch.metrics,
            "learning_rate": epoch.learning_rate, "seconds": epoch.seconds,
            "images_per_s": epoch.images_per_s,
        }  # fmt: skip
        assert row == {name: str(value) for name, value in wanted.items()}
    assert {"train_loss", "train_accuracy", "val_loss", "val_accuracy"} <= rows[0].keys()


def test_resolutions_are_drawn_each_as_a_line_by_their_number_of_pixels(trained: Trained) -> None:
    loss, accuracy = trained.figures["curves-by-resolution.png"].axes
    numbers = [1, 2, 3, 4, 5, 6]
    for axes, name, factor in ((loss, "loss", 1), (accuracy, "accuracy", 100)):
        lines = lines_of(axes)
        assert list(lines) == ["10x6", "8x8", "12x12"]
        assert lines == {
            key: (numbers, [factor * of_resolution(epoch, key, name) for epoch in trained.epochs])
            for key in lines
        }
    assert loss.get_title(loc="left") == "Loss, validation"
    assert accuracy.get_ylabel() == "accuracy (%)"


def of_resolution(epoch: EpochResult, key: str, name: str) -> float:
    return {metric.removeprefix("val_"): value for metric, value in epoch.by_resolution[key].items()}[name]


def test_the_data_by_resolution_hold_a_row_per_epoch_and_resolution(trained: Trained) -> None:
    rows = read_rows(trained.folder / "curves-by-resolution.csv")
    assert rows == [
        {
            "epoch": str(epoch.epoch),
            "resolution": key,
            **{name: str(of_resolution(epoch, key, name)) for name in ("loss", "accuracy")},
        }
        for epoch in trained.epochs
        for key in ("10x6", "8x8", "12x12")
    ]


def test_of_many_resolutions_seven_are_drawn_from_the_smallest_to_the_largest(
    trained_on_many: Trained,
) -> None:
    figure = trained_on_many.figures["curves-by-resolution.png"]
    rows = read_rows(trained_on_many.folder / "curves-by-resolution.csv")
    names = [row["resolution"] for row in rows]
    pixels = [math.prod(map(int, name.partition(" to ")[0].split("x"))) for name in names]
    assert pixels == sorted(pixels)
    assert 7 < len(names) == 11, "of 42 sizes ranges are told"
    drawn = list(lines_of(figure.axes[0]))
    assert drawn == [names[at] for at in (0, 2, 3, 5, 7, 8, 10)]
    assert figure._suptitle.get_text() == "7 of 11 resolutions; all are in the .csv"  # type: ignore[attr-defined]


def test_the_first_epoch_shows_each_steps_loss_and_their_moving_mean(trained: Trained) -> None:
    steps = [step for step in trained.steps if step.epoch == 1]
    lines_in_log = (trained.result.run_dir / "metrics.jsonl").read_text().splitlines()
    logged = [record for record in map(json.loads, lines_in_log) if record["kind"] == "step"]
    losses = [record["loss"] for record in logged]
    assert [record["step"] for record in logged] == [step.step for step in steps] == [1, 2, 3, 4, 5, 6]
    smooth = [np.mean(losses[max(0, at - 1) : at + 2]) for at in range(6)]
    (axes,) = trained.figures["first-epoch.png"].axes
    drawn = lines_of(axes)
    assert drawn.keys() == {"each batch", "mean over 3 batches"}
    assert drawn["each batch"] == ([1, 2, 3, 4, 5, 6], losses)
    assert drawn["mean over 3 batches"][0] == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(drawn["mean over 3 batches"][1], smooth, rtol=1e-12)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "loss of the batch")
    rows = read_rows(trained.folder / "first-epoch.csv")
    assert [(row["step"], row["loss"]) for row in rows] == [(str(r["step"]), str(r["loss"])) for r in logged]
    np.testing.assert_allclose([float(row["smoothed"]) for row in rows], smooth, rtol=1e-12)


def test_of_many_steps_the_mean_is_over_a_fortieth_of_them(tmp_path: Path) -> None:
    steps = [(step, 2.0 / step) for step in range(1, 401)]
    with drawn_figures(render=False) as drawn:
        _, data = figures.write_first_epoch(tmp_path, steps)
    assert "mean over 11 batches" in lines_of(drawn["first-epoch.png"].axes[0])
    smoothed = [float(row["smoothed"]) for row in read_rows(data)]
    assert smoothed[0] == pytest.approx(np.mean([2 / step for step in range(1, 7)]))
    assert smoothed[199] == pytest.approx(np.mean([2 / step for step in range(195, 206)]))


def test_a_moving_mean_leaves_gaps_out() -> None:
    values = np.array([1.0, math.nan, 3.0, 5.0, math.inf, math.nan, math.nan])
    np.testing.assert_array_equal(moving_mean(values, 3), [1, 2, 4, 4, 5, math.nan, math.nan])


@pytest.mark.parametrize("loss", [0.0, -1.0, math.nan, math.inf, 1e-12])
def test_curves_are_drawn_whatever_the_loss(tmp_path: Path, loss: float) -> None:
    """As a diverging run may have it: what is not finite is a gap, and the data say what it was."""
    epochs = [
        EpochResult(1, 5, {"train_loss": loss, "val_mae_sum": loss}),
        EpochResult(2, 10, {"train_loss": 1.0}),
    ]
    with drawn_figures() as drawn:
        picture, data = figures.write_curves(tmp_path, epochs, "transform")
    with Image.open(picture) as image:
        image.load()
        assert image.format == "PNG"
    shown = loss if math.isfinite(loss) else math.nan
    np.testing.assert_array_equal(lines_of(drawn["curves.png"].axes[0])["training"][1], [shown, 1.0])
    assert [row["train_loss"] for row in read_rows(data)] == [str(loss), "1.0"]
    assert [row["val_mae_sum"] for row in read_rows(data)] == [str(loss), ""]
    assert [row["best"] for row in read_rows(data)] == ["0", "0"]


@pytest.mark.parametrize(
    ("losses", "scale"), [((1.0, 0.09), "log"), ((1.0, 0.11), "linear"), ((1.0, 0.0), "linear")]
)
def test_the_axis_is_logarithmic_where_losses_span_a_factor_of_ten(
    tmp_path: Path, losses: tuple[float, float], scale: str
) -> None:
    epochs = [EpochResult(at, at, {"train_loss": loss}) for at, loss in enumerate(losses, 1)]
    with drawn_figures(render=False) as drawn:
        figures.write_curves(tmp_path, epochs, "classification")
    assert drawn["curves.png"].axes[0].get_yscale() == scale


def test_a_run_leaves_each_picture_with_its_data_and_no_other(
    trained: Trained, transformed: Trained, fitted: Trained
) -> None:
    both = ["curves-by-resolution", "curves", "first-epoch"]
    for run, stems, others in (
        (trained, both, ["confusion.png", "confusion.json"]),
        (transformed, both[1:], ["examples.png", "examples.npz"]),
        (fitted, both[1:2], ["examples.png", "examples.npz"]),
    ):
        wanted = {f"{stem}.{kind}" for stem in stems for kind in ("png", "csv")} | set(others)
        assert {path.name for path in run.folder.iterdir()} == wanted
        assert set(run.figures) == {name for name in wanted if name.endswith(".png")}


def test_the_curve_of_each_seed_is_drawn_and_their_mean_as_far_as_all_go(
    several: TrainSeedsResult, tmp_path: Path
) -> None:
    epochs = {run.seed: read_epochs(RunDirectory(run.run_dir)) for run in several.runs}
    lengths = [len(of_seed) for of_seed in epochs.values()]
    assert len(set(lengths)) > 1
    with drawn_figures() as drawn:
        _, data = figures.draw_seeds(several.model_copy(update={"run_dir": tmp_path}))
    for axes, name, factor in zip(
        drawn["curves-by-seed.png"].axes, ("loss", "accuracy"), (1, 100), strict=True
    ):
        values = [[factor * e.metrics[f"val_{name}"] for e in of_seed] for of_seed in epochs.values()]
        lines = axes.get_lines()
        assert [list(line.get_ydata()) for line in lines[:3]] == values
        mean = lines_of(axes)["mean"]
        assert mean[0] == list(range(1, min(lengths) + 1))
        assert mean[1] == pytest.approx(np.mean([each[: min(lengths)] for each in values], axis=0))
        assert "each of 3 seeds" in lines_of(axes)
    rows = read_rows(data)
    assert [(row["seed"], row["epoch"]) for row in rows] == [
        (str(seed), str(epoch.epoch)) for seed, of_seed in epochs.items() for epoch in of_seed
    ]
    assert rows[0]["val_loss"] == str(epochs[0][0].metrics["val_loss"])


def test_without_data_nothing_is_written(tmp_path: Path) -> None:
    empty = np.zeros((0, 1, 4, 4))
    written: list[Any] = [
        figures.write_curves(tmp_path, [], "transform"),
        figures.write_resolution_curves(tmp_path, [EpochResult(1, 1, {})]),
        figures.write_first_epoch(tmp_path, []),
        figures.write_seed_curves(tmp_path, {1: []}, "classification"),
        figures.write_confusion(tmp_path, {}, []),
        figures.write_examples(tmp_path, empty, empty, {"a": empty}),
    ]
    assert written == [[]] * 6
    assert not list(tmp_path.iterdir())


def test_equal_values_make_equal_files(trained: Trained, tmp_path: Path) -> None:
    first = figures.write_curves(tmp_path / "a", trained.epochs, "classification", best_epoch=2)
    second = figures.write_curves(tmp_path / "b", trained.epochs, "classification", best_epoch=2)
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    with Image.open(first[0]) as picture:
        assert (picture.format, picture.size) == ("PNG", (1000, 420))
