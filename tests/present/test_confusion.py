"""The picture of confusion matrices has the counts of the run's test, true classes downwards."""

from __future__ import annotations

import itertools
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nnkit.present import figures
from nnkit.results.evaluate import EvaluateResult
from present.conftest import Trained, drawn_figures


def panels(figure: Any) -> list[Any]:
    """The matrices' axes, without the colour bar's."""
    return [axes for axes in figure.axes if axes.images]


def test_each_cell_has_its_count_at_its_true_row_and_predicted_column(
    trained: Trained, evaluated: EvaluateResult
) -> None:
    drawn = panels(trained.figures["confusion.png"])
    assert list(evaluated.confusion) == ["all", "10x6", "8x8", "12x12"]
    for axes, (title, counts) in zip(drawn, evaluated.confusion.items(), strict=True):
        matrix = np.array(counts)
        texts = {text.get_position(): text.get_text() for text in axes.texts}
        assert texts == {(j, i): str(matrix[i, j]) for i, j in itertools.product(range(3), repeat=2)}
        shares = matrix / matrix.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(axes.images[0].get_array(), shares)
        correct = 100 * np.trace(matrix) / matrix.sum()
        assert axes.get_title(loc="left") == f"{title}: {correct:.2f} % of {matrix.sum()} correct"
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
        for ticks in (axes.get_xticklabels(), axes.get_yticklabels()):
            assert [tick.get_text() for tick in ticks] == ["a", "b", "c"]
    assert not np.array_equal(counts, np.transpose(evaluated.confusion["all"]))


def test_the_colour_bar_is_in_percent_of_the_true_class(trained: Trained) -> None:
    (bar,) = (axes for axes in trained.figures["confusion.png"].axes if not axes.images)
    assert bar.get_ylabel() == "share of the true class (%)"
    ticks = {
        tick.get_text(): place for tick, place in zip(bar.get_yticklabels(), bar.get_yticks(), strict=True)
    }
    assert {text: round(100 * place) for text, place in ticks.items()} == {
        "0": 0, "1": 1, "5": 5, "20": 20, "50": 50, "100": 100
    }  # fmt: skip


def test_the_data_beside_say_what_rows_and_columns_are(trained: Trained, evaluated: EvaluateResult) -> None:
    assert json.loads((trained.folder / "confusion.json").read_text()) == {
        "class_names": ["a", "b", "c"],
        "rows": "true",
        "columns": "predicted",
        "matrices": evaluated.document()["confusion"],
    }


def test_of_many_resolutions_four_matrices_are_drawn_and_all_are_kept(trained_on_many: Trained) -> None:
    figure = trained_on_many.figures["confusion.png"]
    kept = json.loads((trained_on_many.folder / "confusion.json").read_text())["matrices"]
    assert len(kept) == 11
    assert [axes.get_title(loc="left").split(":")[0] for axes in panels(figure)] == list(kept)[:4]
    assert figure._suptitle.get_text() == "4 of 11 matrices; all are in the .json"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "names", [["$x_1$", "\\frac{", "$"], ["日本", "\x1b[1m\n", "\udc80"], ["n" * 999, "", "é"]]
)
def test_class_names_are_drawn_as_they_stand_or_shortened(tmp_path: Path, names: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture, data = figures.write_confusion(tmp_path, {"all": np.eye(3, dtype=np.int64)}, names)
    with Image.open(picture) as image:
        image.load()
        assert image.width < 700
    assert json.loads(data.read_text())["class_names"] == names


def test_a_hundred_classes_are_drawn_without_counts_and_with_every_third_name(tmp_path: Path) -> None:
    matrices = {str(place): 200_000 * np.eye(100, dtype=np.int64) for place in range(2)}
    names = [str(place) for place in range(100)]
    with drawn_figures(render=False) as drawn:
        figures.write_confusion(tmp_path, matrices, names)
    axes, _ = panels(drawn["confusion.png"])
    assert not axes.texts
    assert [tick.get_text() for tick in axes.get_xticklabels()] == names[::3]
    assert list(axes.get_xticks()) == list(range(0, 100, 3))
    assert axes.get_title(loc="left") == "0: 100.00 % of 20,000,000 correct"


def test_large_counts_are_written_short(tmp_path: Path) -> None:
    counts = [[99_999, 100_000], [999_499, 1_500_000]]
    with drawn_figures(render=False) as drawn:
        figures.write_confusion(tmp_path, {"all": np.array(counts)}, ["a", "b"])
    texts = [text.get_text() for text in panels(drawn["confusion.png"])[0].texts]
    assert texts == ["99999", "100k", "999k", "1.5M"]


def test_a_class_without_images_has_no_share(tmp_path: Path) -> None:
    with drawn_figures(render=False) as drawn:
        figures.write_confusion(tmp_path, {"all": np.array([[0, 0], [1, 3]])}, ["a", "b"])
        figures.write_confusion(tmp_path / "empty", {"all": np.zeros((2, 2), int)}, ["a", "b"])
    (axes,) = panels(drawn["confusion.png"])
    assert axes.get_title(loc="left") == "all: – of 0 correct"
    assert not np.any(axes.images[0].get_array())


def test_pyplot_is_never_imported(tmp_path: Path) -> None:
    sys.modules.pop("matplotlib.pyplot", None)
    figures.write_first_epoch(tmp_path, [(1, 1.0)])
    assert "matplotlib.pyplot" not in sys.modules
