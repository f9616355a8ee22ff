"""How a study of many training runs goes, on stderr: a line per cell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nnkit.cli import output

if TYPE_CHECKING:
    from nnkit.results.train import TrainResult
    from nnkit.studies.cells import Cell


class CellProgress:
    """Says where the study is kept, and how each of its cells ended."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._num_cells = 0
        self._num_ended = 0

    def begin(self, folder: Path, num_cells: int, num_done: int) -> None:
        """Say where everything is kept, and what is done already."""
        self._num_cells, self._num_ended = num_cells, num_done
        self._say(f"nnkit: {num_cells} cells, {num_done} done already; all is kept in {folder}")

    def cell_done(self, cell: Cell, summary: TrainResult | None, error: str) -> None:
        """Say how a cell ended, and how many are left."""
        from nnkit.present.text import duration, metric

        self._num_ended += 1
        if summary is None:
            how = f"failed: {error.splitlines()[0] if error else 'no summary'}"
        else:
            accuracy = metric("accuracy", getattr(summary.test, "accuracy", None))
            how = f"test accuracy {accuracy} in {duration(summary.seconds)}"
        self._say(f"cell {self._num_ended}/{self._num_cells}: {cell.title}: {how}")

    def _say(self, text: str) -> None:
        if not self._quiet:
            output.say(text)
