"""Confusion matrices as a picture: rows are true classes, columns predicted ones."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nnkit.present import drawing
from nnkit.present.text import count, percent, shorten
from nnkit.runs.directory import RunDirectory

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

logger = logging.getLogger("nnkit")
MAX_PANELS = 4
MAX_NUMBERED = 20
"""Most classes for which each cell shows its count."""
_MAX_NAMED = 40


def write_confusion(
    folder: Path, matrices: Mapping[str, np.ndarray], class_names: Sequence[str]
) -> list[Path]:
    """Write confusion.png and confusion.json: one panel per matrix, counts (K, K) of true × predicted.

    `matrices` maps a panel's title ("all", "32x32") to its counts. The picture shows the first four, the JSON
    holds all. Without matrices nothing is written and the list is empty.
    """
    if not matrices:
        return []
    shown = list(matrices.items())[:MAX_PANELS]
    num_columns = 1 if len(shown) == 1 else 2
    num_rows = -(-len(shown) // num_columns)
    side = _panel_side(len(class_names))
    figure = drawing.new_figure(side * num_columns + 1.0, (side + 0.2) * num_rows)
    image = None
    for place, (title, matrix) in enumerate(shown, start=1):
        axes = figure.add_subplot(num_rows, num_columns, place)
        image = _draw_matrix(axes, title, np.asarray(matrix), class_names)
    if image is not None:
        bar = figure.colorbar(image, ax=figure.axes, shrink=0.6, ticks=[0, 0.01, 0.05, 0.2, 0.5, 1])
        bar.ax.set_yticklabels(["0", "1", "5", "20", "50", "100"], fontsize=9)
        bar.set_label("share of the true class (%)", fontsize=10)
    if len(shown) < len(matrices):
        figure.suptitle(f"{len(shown)} of {len(matrices)} matrices; all are in the .json", fontsize=10)
    document = {
        "class_names": list(class_names),
        "rows": "true",
        "columns": "predicted",
        "matrices": {name: np.asarray(matrix).tolist() for name, matrix in matrices.items()},
    }
    return [
        drawing.save_figure(figure, folder / "confusion.png"),
        drawing.write_file(folder / "confusion.json", json.dumps(document).encode()),
    ]


def read_confusion(run: RunDirectory) -> tuple[np.ndarray, tuple[str, ...]] | None:
    """The counts (K, K) of all images and the class names that `write_confusion` wrote for a run.

    None, with a warning, where there is nothing that can be read.
    """
    try:
        document = run.figure_data("confusion")
        return np.array(document["matrices"]["all"], dtype=np.int64), tuple(document["class_names"])
    except (ValueError, KeyError, TypeError):
        logger.warning("%s has no confusion matrix that can be read", run.path)
        return None


def _panel_side(num_classes: int) -> float:
    cells = 0.43 * num_classes if num_classes <= MAX_NUMBERED else 5.6
    return max(3.2, cells) + 1.2


def _draw_matrix(axes: Axes, title: str, matrix: np.ndarray, class_names: Sequence[str]) -> AxesImage:
    from matplotlib.colors import PowerNorm

    totals = matrix.sum(axis=1, keepdims=True)
    shares = matrix / np.maximum(totals, 1)
    # A square root lifts the few errors of a good classifier out of the white.
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1))
    total = int(matrix.sum())
    accuracy = percent(float(np.trace(matrix)) / total if total else None)
    axes.set_title(f"{shorten(title, 24)}: {accuracy} of {count(total)} correct", fontsize=11, loc="left")
    axes.set_xlabel("predicted class", fontsize=10)
    axes.set_ylabel("true class", fontsize=10)
    axes.spines[:].set_visible(False)
    _name_ticks(axes, class_names)
    if len(class_names) <= MAX_NUMBERED:
        _number_cells(axes, matrix, shares)
    return image


def _name_ticks(axes: Axes, class_names: Sequence[str]) -> None:
    stride = -(-len(class_names) // _MAX_NAMED)
    places = list(range(0, len(class_names), max(stride, 1)))
    names = [shorten(class_names[place], 14) for place in places]
    size = 9 if len(class_names) <= MAX_NUMBERED else 7
    upright = len(class_names) > MAX_NUMBERED or max(map(len, names), default=0) > 3
    axes.set_xticks(places, names, fontsize=size, rotation=90 if upright else 0)
    axes.set_yticks(places, names, fontsize=size)
    axes.tick_params(length=0)


def _number_cells(axes: Axes, matrix: np.ndarray, shares: np.ndarray) -> None:
    for (row, column), value in np.ndenumerate(matrix):
        color = "white" if shares[row, column] > 0.35 else "#222222" if value else "#B0B0B0"
        axes.text(column, row, _short_count(int(value)), ha="center", va="center", fontsize=8, color=color)


def _short_count(value: int) -> str:
    if value < 100_000:
        return str(value)
    return f"{value / 1e3:.0f}k" if value < 999_500 else f"{value / 1e6:.3g}M"
