"""The figures of each command's result, each a PNG and beside it its data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nnkit.present.compare_pooling import write_comparison
from nnkit.present.confusion import read_confusion, write_confusion
from nnkit.present.curves import (
    write_curves,
    write_first_epoch,
    write_resolution_curves,
    write_seed_curves,
)
from nnkit.present.examples import write_examples
from nnkit.results.compare_pooling import ComparePoolingResult
from nnkit.results.metrics import Classification
from nnkit.results.train_seeds import TrainSeedsResult
from nnkit.runs.directory import RunDirectory
from nnkit.studies.runs import read_epochs
from nnkit.types import Task

if TYPE_CHECKING:
    from nnkit.studies.train.study import Trained

__all__ = [
    "draw_comparison",
    "draw_seeds",
    "draw_training",
    "write_comparison",
    "write_confusion",
    "write_curves",
    "write_examples",
    "write_first_epoch",
    "write_resolution_curves",
    "write_seed_curves",
]


def draw_training(trained: Trained) -> list[Path]:
    """Curves, the first epoch, and the task's own picture: confusion matrices or examples."""
    folder, shown = RunDirectory(trained.result.run_dir).figures, trained.figures
    written = write_curves(folder, shown.epochs, shown.task, best_epoch=shown.best_epoch)
    written += write_first_epoch(folder, shown.first_epoch)
    if any(epoch.by_resolution for epoch in shown.epochs):
        written += write_resolution_curves(folder, shown.epochs)
    written += write_confusion(folder, shown.confusion, shown.class_names)
    if (examples := shown.examples) is not None:
        written += write_examples(folder, examples.inputs, examples.targets, examples.outputs)
    return written


def draw_seeds(result: TrainSeedsResult) -> list[Path]:
    """The curves of all seeds, as the logs of their runs hold them."""
    if not result.runs:
        return []
    epochs = {run.seed: read_epochs(RunDirectory(run.run_dir)) for run in result.runs}
    is_class = isinstance(result.runs[0].best.metrics.validation, Classification)
    task: Task = "classification" if is_class else "transform"
    return write_seed_curves(RunDirectory(result.run_dir).figures, epochs, task)


def draw_comparison(result: ComparePoolingResult) -> list[Path]:
    """Every seed with means and intervals, and each pooling's confusion matrix summed over its seeds.

    The matrices are those that the figures of the cells hold: see `draw_training`.
    """
    folder = RunDirectory(result.run_dir).figures
    written = write_comparison(folder, result)
    matrices: dict[str, np.ndarray] = {}
    class_names: Sequence[str] = ()
    for row in result.results:
        finished = zip(row.cells, row.accuracy.values, strict=True)
        cells = [RunDirectory(Path(cell)) for cell, accuracy in finished if accuracy is not None]
        known = [found for cell in cells if (found := read_confusion(cell)) is not None]
        if known:
            matrices[row.pooling] = np.sum([counts for counts, _ in known], axis=0)
            class_names = known[0][1]
    return written + write_confusion(folder, matrices, class_names)
