"""Examples of a transform: input, target and output as the run's model made them, and their difference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nnkit
from nnkit.present import figures
from present.conftest import Trained, drawn_figures


def shown(axes: Any) -> np.ndarray:
    """The picture in one place, as it was given to be drawn."""
    return np.asarray(axes.images[0].get_array())


def grid_of(figure: Any, columns: int) -> list[list[Any]]:
    axes = figure.axes
    return [axes[start : start + columns] for start in range(0, len(axes), columns)]


def test_the_data_hold_three_validation_images_as_the_loaded_model_makes_them(transformed: Trained) -> None:
    with np.load(transformed.folder / "examples.npz", allow_pickle=False) as file:
        arrays = dict(file)
    assert sorted(arrays) == ["input", "output", "target"]
    assert arrays["input"].shape == (3, 3, 12, 10)
    assert arrays["target"].shape == arrays["output"].shape == (3, 1, 8, 8)
    with torch.no_grad():
        output = nnkit.load(transformed.result.run_dir)(torch.from_numpy(arrays["input"]))
    np.testing.assert_allclose(arrays["output"], output.numpy(), atol=1e-6)
    error = np.abs(arrays["output"].astype(np.float64) - arrays["target"]).sum(axis=(1, 2, 3)).mean()
    assert transformed.result.best["metrics"]["mae_sum"] == pytest.approx(error, rel=1e-5)


def test_each_row_shows_input_target_output_and_the_difference(transformed: Trained) -> None:
    with np.load(transformed.folder / "examples.npz") as file:
        arrays = dict(file)
    rows = grid_of(transformed.figures["examples.png"], 4)
    assert len(rows) == 3
    assert [axes.get_title() for axes in rows[0][:3]] == ["input", "target", "output"]
    for at, (given, target, output, difference) in enumerate(rows):
        np.testing.assert_array_equal(shown(given), arrays["input"][at].transpose(1, 2, 0))
        np.testing.assert_array_equal(shown(target), arrays["target"][at][0])
        np.testing.assert_array_equal(shown(output), np.clip(arrays["output"][at][0], 0, 1))
        apart = np.abs(arrays["output"][at].astype(float) - arrays["target"][at])[0]
        np.testing.assert_allclose(shown(difference), apart / apart.max())
        words = f"max {255 * apart.max():.3g}/255"
        assert difference.get_title() == (f"difference\n{words}" if at == 0 else words)
        assert {tuple(axes.images[0].get_clim()) for axes in (target, output, difference)} == {(0, 1)}


def test_of_many_images_six_are_shown_and_of_several_models_each_has_its_columns(tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((8, 3, 9, 7), dtype=np.float32)
    grey = images.mean(axis=1, keepdims=True)
    outputs = {"file": grey * 3 - 1, "a/b": np.full_like(grey, np.nan), "same": grey}
    with drawn_figures(render=False) as drawn:
        _, data = figures.write_examples(tmp_path, images, grey, outputs)
    rows = grid_of(drawn["examples.png"], 8)
    assert len(rows) == 6
    titles = [axes.get_title() for axes in rows[0]]
    assert titles[:5] == ["input", "target", "file", "a/b", "same"]
    assert [title.split("\n")[0] for title in titles[5:]] == ["file diff.", "a/b diff.", "same diff."]
    assert titles[6].endswith("\nnot finite")
    assert titles[7].endswith("\nmax 0/255")
    assert not shown(rows[0][6]).any()
    with np.load(data, allow_pickle=False) as arrays:
        assert sorted(arrays) == ["input", "output-a/b", "output-file", "output-same", "target"]
        np.testing.assert_array_equal(arrays["input"], images[:6])
        np.testing.assert_array_equal(arrays["target"], grey[:6])
        np.testing.assert_array_equal(arrays["output-file"], outputs["file"][:6])
        assert len(arrays["output-a/b"]) == 6


def test_the_difference_of_colours_is_the_largest_over_channels(tmp_path: Path) -> None:
    target = np.zeros((1, 3, 2, 2), np.float32)
    output = target.copy()
    output[0, 0, 0, 0], output[0, 2, 0, 0], output[0, 1, 1, 1] = 0.1, -0.4, 0.2
    with drawn_figures(render=False) as drawn:
        figures.write_examples(tmp_path, target, target, {"net": output})
    (row,) = grid_of(drawn["examples.png"], 4)
    np.testing.assert_allclose(shown(row[3]), [[1.0, 0.0], [0.0, 0.5]], atol=1e-6)
    assert row[3].get_title() == "difference\nmax 102/255"
