"""Progress on stderr while a command runs: epochs of a training, cells of a study, rounds of a benchmark."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from nnkit.present.metrics import words
from nnkit.present.text import duration, metric, say
from nnkit.types import EpochResult, StepResult

if TYPE_CHECKING:
    from nnkit.results.train import TrainResult
    from nnkit.studies.cells import Cell

EVERY_S = 10.0
_SHOWN = ("train_loss", "val_loss", "val_accuracy", "val_mae_sum", "val_cosine_accuracy")


class Progress:
    """An observer of training. It never reads a loss between epochs: that would make the device wait."""

    def __init__(self, *, quiet: bool) -> None:
        self._epochs = 0
        self._quiet = quiet
        self._bar: Any = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the bar; the next run has one of its own."""
        if self._bar is not None:
            self._bar.close()

    def on_start(self, *, epochs: int, seed: int) -> None:
        """Say the seed, and open the bar."""
        self._epochs = epochs
        if self._quiet:
            return
        print(f"nnkit: training with seed {seed}", file=sys.stderr, flush=True)
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(unit=" img", unit_scale=True, leave=False, dynamic_ncols=True)

    def on_plan(self, *, images_per_epoch: int) -> None:
        """Set the total of the bar, so that it shows the share done and the time left."""
        if self._bar is not None:
            self._bar.total = self._epochs * images_per_epoch
            self._bar.refresh()

    def on_resume(self, *, epochs_done: int, images_done: int) -> None:
        """Begin the bar where the run was."""
        if self._bar is not None and self._bar.total:
            self._bar.n = epochs_done * (self._bar.total // self._epochs) + images_done
            self._bar.initial = self._bar.n
            self._bar.refresh()

    def on_step(self, step: StepResult) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.set_description_str(f"epoch {step.epoch}/{self._epochs}", refresh=False)
            self._bar.update(step.num_images)

    def on_epoch(self, epoch: EpochResult) -> None:
        """Say how the epoch went."""
        if self._quiet:
            return
        shown = [key for key in sorted(epoch.metrics) if key in _SHOWN or key in epoch.higher_is_better]
        parts = [f"{key} {epoch.metrics[key]:.4g}" for key in shown]
        line = f"epoch {epoch.epoch}/{self._epochs}: {', '.join(parts)}; {epoch.images_per_s:,.0f} img/s"
        if self._bar is not None:
            self._bar.write(line, file=sys.stderr)
        else:
            print(line, file=sys.stderr, flush=True)


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
            say(text)


def _reached(summary: TrainResult) -> str:
    """The monitored metric on the test split; where that was left alone, on validation images."""
    name = summary.best.metric
    if summary.test is None:
        return f"{words(name)} {metric(name, summary.best.value)}"
    bare = name.removeprefix("val_").removeprefix("train_")
    value = summary.test[bare]
    return f"test {words(bare)} {metric(bare, value if isinstance(value, float) else None)}"


class Rounds:
    """Called with what is done and its number; says so at most every ten seconds, and at the end."""

    def __init__(self, what: str, *, quiet: bool) -> None:
        self._what = what
        self._quiet = quiet
        self._said = time.monotonic()

    def __call__(self, done: int, rounds: int) -> None:
        """Say how far it is."""
        now = time.monotonic()
        if not self._quiet and (now - self._said >= EVERY_S or done == rounds):
            self._said = now
            say(f"nnkit: {self._what} {done} of {rounds}")
