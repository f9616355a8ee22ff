"""The result of a training run as `nnkit train` prints it."""

from __future__ import annotations

from nnkit.present.layout import WIDTH, joined, key_values
from nnkit.present.metrics import resolutions_table, splits_table
from nnkit.present.text import count, duration
from nnkit.results.train import Solver, TrainResult


def train_table(result: TrainResult, *, width: int = WIDTH) -> str:
    """The run, then each metric at the best epoch and on the test split."""
    best = result.best
    pairs: list[tuple[str, object]] = [
        ("run", result.run_dir),
        ("dataset", result.dataset),
        ("model", result.model),
        ("loss", result.loss),
        ("parameters", count(result.parameters)),
        ("epochs", count(result.epochs)),
        ("stopped by", result.stopped_by),
        ("best epoch", f"{count(best.epoch)}, by {best.metric}"),
        ("time", f"{duration(result.seconds)}, {count(result.images_per_s)} images/s"),
        *_solver(result.solver),
    ]
    return joined(
        key_values(pairs, width=width),
        splits_table(best.metrics, result.test, width=width),
        resolutions_table(result.test, split="test ", width=width),
    )


def _solver(solver: Solver) -> list[tuple[str, object]]:
    """How weights were found other than by gradient, and what the model noted."""
    notes: list[tuple[str, object]] = [("note", note) for note in solver.notes or ()]
    if solver.solver_s is None:
        return notes
    images = f"{count(solver.images)} images in {duration(solver.solver_s)}"
    return [("solver", f"{solver.name}, {images}"), *notes]
