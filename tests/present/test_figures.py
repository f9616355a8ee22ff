"""Figures are pictures of a readable size, and the files beside them hold the values they show."""

from __future__ import annotations

import csv
import json
import math
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nnkit.present import figures
from nnkit.types import EpochResult


def make_epoch(epoch: int, **metrics: float) -> EpochResult:
    by_resolution = {"32x32": {"loss": 0.5 / epoch, "accuracy": 0.8}, "100x9": {"loss": 0.1, "accuracy": 0.9}}
    return EpochResult(epoch, 10 * epoch, metrics, by_resolution=by_resolution)


EPOCHS = [
    make_epoch(
        at, train_loss=2.0 / at, val_loss=2.1 / at, train_accuracy=1 - 0.5 / at, val_accuracy=1 - 0.6 / at
    )
    for at in range(1, 6)
]


def check_picture(path: Path, width: int, height: int) -> None:
    with Image.open(path) as picture:
        picture.load()
        assert picture.format == "PNG"
        assert abs(picture.width - width) < 0.2 * width
        assert abs(picture.height - height) < 0.2 * height
        extremes = picture.convert("L").getextrema()
    assert extremes[0] < extremes[1]


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_curves_hold_every_metric_and_mark_the_best_epoch(tmp_path: Path) -> None:
    picture, data = figures.write_curves(tmp_path / "new", EPOCHS, "classification", best_epoch=4)
    check_picture(picture, 1000, 420)
    rows = read_rows(data)
    assert [float(row["val_loss"]) for row in rows] == [epoch.metrics["val_loss"] for epoch in EPOCHS]
    assert [row["best"] for row in rows] == ["0", "0", "0", "1", "0"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["curves.csv", "curves.png"]


@pytest.mark.parametrize("loss", [0.0, -1.0, math.nan, math.inf, 1e-12])
def test_curves_are_drawn_whatever_the_loss(tmp_path: Path, loss: float) -> None:
    epochs = [make_epoch(1, train_loss=loss, val_mae_sum=loss), make_epoch(2, train_loss=1.0)]
    picture, data = figures.write_curves(tmp_path, epochs, "transform")
    check_picture(picture, 1000, 420)
    assert float(read_rows(data)[0]["train_loss"]) == pytest.approx(loss, nan_ok=True)
    assert read_rows(data)[1]["val_mae_sum"] == ""


def test_resolutions_stand_in_order_of_their_pixels(tmp_path: Path) -> None:
    picture, data = figures.write_resolution_curves(tmp_path, EPOCHS)
    check_picture(picture, 1000, 440)
    rows = read_rows(data)
    assert [row["resolution"] for row in rows[:2]] == ["100x9", "32x32"]
    assert float(rows[3]["loss"]) == 0.25


def test_of_many_resolutions_the_data_holds_all(tmp_path: Path) -> None:
    many = {f"{side}x{side}": {"val_loss": 1.0, "val_accuracy": 0.5} for side in range(1, 101)}
    picture, data = figures.write_resolution_curves(tmp_path, [EpochResult(1, 1, {}, by_resolution=many)])
    check_picture(picture, 1000, 440)
    assert len(read_rows(data)) == 100


def test_the_first_epoch_keeps_each_step(tmp_path: Path) -> None:
    steps = [(step, 2.0 / step) for step in range(1, 200)] + [(200, math.nan)]
    picture, data = figures.write_first_epoch(tmp_path, steps)
    check_picture(picture, 750, 420)
    rows = read_rows(data)
    assert [(int(row["step"]), float(row["loss"])) for row in rows[:-1]] == steps[:-1]
    assert float(rows[1]["smoothed"]) == pytest.approx(sum(2.0 / step for step in range(1, 5)) / 4)


def test_confusion_matrices_parse_back(tmp_path: Path) -> None:
    matrices = {"all": np.arange(9).reshape(3, 3), "32x32": np.zeros((3, 3), dtype=np.int64)}
    picture, data = figures.write_confusion(tmp_path, matrices, ["a", "b", "c"])
    check_picture(picture, 980, 460)
    document = json.loads(data.read_text())
    assert document["class_names"] == ["a", "b", "c"]
    assert document["matrices"] == {name: matrix.tolist() for name, matrix in matrices.items()}


@pytest.mark.parametrize(
    "names", [["$x_1$", "\\frac{", "$"], ["日本", "\x1b[1m\n", "\udc80"], ["n" * 999, "", "é"]]
)
def test_class_names_are_drawn_as_they_stand_or_shortened(tmp_path: Path, names: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture, data = figures.write_confusion(tmp_path, {"all": np.eye(3, dtype=np.int64)}, names)
    check_picture(picture, 540, 460)
    assert json.loads(data.read_text())["class_names"] == names


def test_a_hundred_classes_and_a_fifth_panel_do_not_enlarge_the_picture(tmp_path: Path) -> None:
    matrices = {str(place): np.eye(100, dtype=np.int64) for place in range(5)}
    picture, data = figures.write_confusion(tmp_path, matrices, [str(place) for place in range(100)])
    check_picture(picture, 1460, 1400)
    assert len(json.loads(data.read_text())["matrices"]) == 5


def test_examples_hold_the_images_as_they_were(tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((8, 3, 9, 7), dtype=np.float32)
    grey = images.mean(axis=1, keepdims=True)
    outputs = {"file": grey * 3 - 1, "a/b": np.full_like(grey, np.nan)}
    picture, data = figures.write_examples(tmp_path, images, grey, outputs)
    check_picture(picture, 830, 972)
    with np.load(data, allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["input"], images[:6])
        np.testing.assert_array_equal(arrays["output-file"], outputs["file"][:6])
        assert len(arrays["output-a/b"]) == 6


def test_one_output_is_called_output_and_few_images_make_few_rows(tmp_path: Path) -> None:
    images = np.zeros((2, 1, 4, 4))
    picture, data = figures.write_examples(tmp_path, images, images, {"mse": images})
    check_picture(picture, 560, 344)
    with np.load(data) as arrays:
        assert sorted(arrays) == ["input", "output", "target"]


def test_without_data_nothing_is_written(tmp_path: Path) -> None:
    empty = np.zeros((0, 1, 4, 4))
    written: list[Any] = [
        figures.write_curves(tmp_path, [], "transform"),
        figures.write_resolution_curves(tmp_path, [EpochResult(1, 1, {})]),
        figures.write_first_epoch(tmp_path, []),
        figures.write_confusion(tmp_path, {}, []),
        figures.write_examples(tmp_path, empty, empty, {"a": empty}),
    ]
    assert written == [[]] * 5
    assert not list(tmp_path.iterdir())


def test_pyplot_is_never_imported(tmp_path: Path) -> None:
    sys.modules.pop("matplotlib.pyplot", None)
    figures.write_first_epoch(tmp_path, [(1, 1.0)])
    assert "matplotlib.pyplot" not in sys.modules


def test_equal_values_make_equal_files(tmp_path: Path) -> None:
    first = figures.write_curves(tmp_path / "a", EPOCHS, "classification")
    second = figures.write_curves(tmp_path / "b", EPOCHS, "classification")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
