"""Pictures of a transform model: input, target, output and their difference."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nnkit.present import drawing
from nnkit.present.text import clean, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_ROWS = 6
_CELL = 1.35


def write_examples(
    folder: Path, inputs: np.ndarray, targets: np.ndarray, outputs: Mapping[str, np.ndarray]
) -> list[Path]:
    """Write examples.png and examples.npz: up to six images, one per row.

    Arrays are float (N, C, H, W) in [0, 1]; outputs may leave the range and are clipped for show only.
    Columns are input, target, each output, then each output's absolute difference from the target (the
    largest over channels), scaled by its own maximum, which is printed above it in 8-bit values. The arrays
    in examples.npz are `input`, `target`, and `output`, or `output-NAME` where there are several.
    """
    columns = _columns(inputs[:MAX_ROWS], targets[:MAX_ROWS], outputs)
    targets = targets[:MAX_ROWS]
    num_rows, num_columns = len(targets), len(columns) + len(outputs)
    if not num_rows:
        return []
    figure = drawing.new_figure(num_columns * _CELL + 0.2, num_rows * (_CELL + 0.22) + 0.3)
    grid = np.atleast_2d(figure.subplots(num_rows, num_columns, squeeze=False))
    for place, (title, images) in enumerate(columns.items()):
        for row in range(num_rows):
            _show(grid[row, place], np.clip(np.nan_to_num(images[row]), 0, 1))
        grid[0, place].set_title(shorten(title, 16), fontsize=10)
    for place, (name, output) in enumerate(outputs.items(), start=len(columns)):
        heading = "difference" if len(outputs) == 1 else f"{shorten(name, 9)} diff."
        for row in range(num_rows):
            _show_difference(grid[row, place], output[row], targets[row], heading if row == 0 else "")
    return [
        drawing.save_figure(figure, folder / "examples.png"),
        drawing.write_file(folder / "examples.npz", _archive(inputs[:MAX_ROWS], targets, outputs)),
    ]


def _columns(
    inputs: np.ndarray, targets: np.ndarray, outputs: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    named = {"output" if len(outputs) == 1 else name: images for name, images in outputs.items()}
    return {"input": inputs, "target": targets, **named}


def _show(axes: Axes, image: np.ndarray) -> None:
    pixels = image.transpose(1, 2, 0) if len(image) == 3 else image.mean(axis=0)
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color("#BBBBBB")


def _show_difference(axes: Axes, output: np.ndarray, target: np.ndarray, heading: str) -> None:
    difference = np.abs(output.astype(np.float64) - target.astype(np.float64)).max(axis=0, keepdims=True)
    largest = float(difference.max())
    if np.isfinite(largest):
        words = f"max {255 * largest:.3g}/255"
        scaled = difference / largest if largest > 0 else difference
    else:
        words, scaled = "not finite", np.zeros_like(difference)
    _show(axes, scaled)
    axes.set_title(f"{heading}\n{words}" if heading else words, fontsize=10 if heading else 9)


def _archive(inputs: np.ndarray, targets: np.ndarray, outputs: Mapping[str, np.ndarray]) -> bytes:
    arrays = {"input": inputs, "target": targets}
    for name, images in outputs.items():
        arrays["output" if len(outputs) == 1 else f"output-{clean(name)}"] = images[:MAX_ROWS]
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()
