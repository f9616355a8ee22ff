"""A study of many cells in one folder: what is missing is trained, what is finished is read.

Finished cells outlive an interruption, after which the same command goes on with the others.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from nnkit.errors import InterruptedRun, NnkitError, PartialError, UsageError
from nnkit.results.base import Result
from nnkit.results.train import TrainResult
from nnkit.runs.directory import RunDirectory
from nnkit.studies.cells import Cell, Outcome, finished_summary, train_cells
from nnkit.studies.train.study import Finish
from nnkit.training.devices import set_threads
from nnkit.training.interrupts import interrupted
from nnkit.training.observers import Observer

R = TypeVar("R", bound=Result)


class Watcher(Protocol):
    """Receives the progress of a study of many cells."""

    def begin(self, folder: Path, num_cells: int, num_done: int) -> None:
        """Called once, before the first cell; `num_done` were finished by an earlier start."""
        ...

    def cell_done(self, cell: Cell, summary: TrainResult | None, error: str) -> None:
        """Called after each cell, with the summary of its run or with its error."""
        ...


class _NeverStarted(Exception):
    """A cell ended before its run began, and every other cell would end so."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.error)
        kind = UsageError if outcome.exit_code == UsageError.exit_code else NnkitError
        self.error = kind(outcome.error, hint=outcome.hint)


@dataclass
class CellStudy:
    """The cells of a study, `jobs` at a time, and how each that is not finished ended.

    Its command calls its cells `noun`. `tested`: a cell without its test is not finished.
    `alike`: the cells differ in their seed alone, so that an error before any run has begun is the study's.
    """

    folder: RunDirectory
    cells: Sequence[Cell]
    noun: str = "cell"
    tested: bool = True
    alike: bool = False
    jobs: int = 1
    threads: int | None = None
    errors: dict[Path, Outcome] = field(default_factory=dict)
    summaries: dict[Path, TrainResult] = field(default_factory=dict)

    def read(self, cell: Cell) -> TrainResult | None:
        """A finished cell's summary, remembered."""
        if cell.folder not in self.summaries:
            summary = finished_summary(cell.folder, tested=self.tested)
            if summary is not None:
                self.summaries[cell.folder] = summary
        return self.summaries.get(cell.folder)

    @property
    def seconds(self) -> float:
        """The time that the finished cells took to train, added up."""
        return sum(summary.seconds for summary in self.summaries.values())

    def run(
        self,
        make_result: Callable[[], R],
        *,
        watcher: Watcher | None = None,
        finish: Finish | None = None,
        observers: Sequence[Observer] = (),
        draw: Callable[[R], object] | None = None,
    ) -> R:
        """Train the missing cells; write and return what `make_result` makes of all, failed ones among them.

        `finish` is called with each run in the process that trained it, `draw` with the result; then the
        study is finished. `InterruptedRun` says how to go on.
        """
        folder = self.folder
        try:
            folder.set_state("running")
            self._train_missing(watcher, finish, observers)
            result = make_result()
            folder.write_summary(result.document())
            if draw is not None:
                draw(result)
            self._set_end()
        except (InterruptedRun, KeyboardInterrupt, SystemExit) as error:
            stopped = self._interrupted(error)
            folder.set_last_state("interrupted", reason=stopped.message)
            raise stopped from None
        except _NeverStarted as stop:
            if folder.is_new:
                folder.discard()
            else:
                folder.set_last_state("failed", reason=stop.error.message.splitlines()[0])
            raise stop.error from None
        except BaseException as error:
            folder.set_last_state("failed", reason=f"{type(error).__name__}: {error}".splitlines()[0])
            raise
        finally:
            folder.close()
        return result

    def _train_missing(
        self, watcher: Watcher | None, finish: Finish | None, observers: Sequence[Observer]
    ) -> None:
        missing = [cell for cell in self.cells if self.read(cell) is None]
        if watcher is not None:
            watcher.begin(self.folder.path, len(self.cells), len(self.cells) - len(missing))
        set_threads(self.threads)
        cells = train_cells(missing, jobs=self.jobs, finish=finish, observers=observers)
        with contextlib.closing(cells) as ended:
            for cell, outcome in ended:
                if outcome.error and self.alike and not any(each.folder.exists() for each in self.cells):
                    raise _NeverStarted(outcome)
                summary = None if outcome.error else self.read(cell)
                if summary is None:
                    self.errors[cell.folder] = outcome
                self.folder.beat()
                if watcher is not None:
                    watcher.cell_done(cell, summary, str(outcome))

    def _set_end(self) -> None:
        failed, noun = len(self.errors), f"{self.noun}s"
        reason = f"{failed} of {len(self.cells)} {noun} failed" if failed else f"all {noun} are done"
        self.folder.set_state("failed" if failed else "finished", reason=reason)

    def _interrupted(self, error: BaseException) -> InterruptedRun:
        """What to raise after Ctrl-C or a signal: how far the study came, and how to go on."""
        done = sum(self.read(cell) is not None for cell in self.cells)
        stopped = interrupted(error, f"{done} of {len(self.cells)} {self.noun}s")
        stopped.hint = f"to go on: {self.folder.resume_command()}"
        return stopped


def failure(
    first: str, error: str, exit_code: int, *, num_failed: int, num_cells: int, noun: str, hint: str
) -> NnkitError:
    """What says that cells failed: part of the work, or with the exit code of the `first` all of it."""
    message = f"{num_failed} of {num_cells} {noun}s failed, the first ({first}): {error}"
    if num_failed < num_cells:
        return PartialError(message, hint=hint)
    failed = NnkitError(message, hint=hint)
    failed.exit_code = exit_code or 1
    return failed
