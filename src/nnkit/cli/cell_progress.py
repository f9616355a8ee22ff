"""Progress of a study of many training runs on stderr: a line per cell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nnkit.cli import output

if TYPE_CHECKING:
    from nnkit.cli.progress import Progress
    from nnkit.results.train import TrainResult
    from nnkit.studies.cells import Cell


class CellProgress:
    """Says where the study is kept, and how each of its cells ended; `noun` is what it calls them.

    `progress` shows the runs of this process: its bar is closed before a line is written.
    """

    def __init__(self, *, quiet: bool, noun: str = "cell", progress: Progress | None = None) -> None:
        self._quiet = quiet
        self._noun = noun
        self._progress = progress
        self._num_cells = 0
        self._num_ended = 0

    def begin(self, folder: Path, num_cells: int, num_done: int) -> None:
        """Say where everything is kept, and what is done already."""
        self._num_cells, self._num_ended = num_cells, num_done
        cells = f"{num_cells} {self._noun}{'' if num_cells == 1 else 's'}"
        self._say(f"nnkit: {cells}, {num_done} done already; all is kept in {folder}")

    def cell_done(self, cell: Cell, summary: TrainResult | None, error: str) -> None:
        """Say how a cell ended, and how many are left."""
        from nnkit.present.text import duration

        self._num_ended += 1
        if self._progress is not None:
            self._progress.close()
        if summary is None:
            how = f"failed: {error.splitlines()[0] if error else 'no summary'}"
        else:
            how = f"{_reached(summary)} in {duration(summary.seconds)}"
        self._say(f"{self._noun} {self._num_ended}/{self._num_cells}: {cell.title}: {how}")

    def _say(self, text: str) -> None:
        if not self._quiet:
            output.say(text)


def _reached(summary: TrainResult) -> str:
    """The monitored metric on the test split; where that was left alone, on validation images."""
    from nnkit.present.metrics import words
    from nnkit.present.text import metric

    name = summary.best.metric
    if summary.test is None:
        return f"{words(name)} {metric(name, summary.best.value)}"
    bare = name.removeprefix("val_").removeprefix("train_")
    value = summary.test[bare]
    return f"test {words(bare)} {metric(bare, value if isinstance(value, float) else None)}"
