"""Cells: training runs that belong to one study, done one after the other or in several processes.

Each process trains one cell and ends, so that a cell that dies, or is killed for its memory, takes no other
with it. What crosses to it and back is plain data; the cell's result is the run directory that it leaves.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

import psutil
import torch
from pydantic import TypeAdapter

from nnkit.config import Resolved
from nnkit.errors import CheckpointError, InterruptedRun, NnkitError, UsageError
from nnkit.results.reading import read
from nnkit.results.train import TrainResult
from nnkit.runs.directory import RunDirectory
from nnkit.studies.train import study as training
from nnkit.studies.train.config import TrainConfig
from nnkit.studies.train.study import Finish, Trained
from nnkit.training.interrupts import ignore_after_first, listening
from nnkit.training.observers import Observer

logger = logging.getLogger("nnkit")

_BROKE_OFF = ("interrupted", "killed", "failed")
POLL_S = 0.2
GRACE_S = 3.0
"""How long a process that was asked to end may take before it is killed."""


@dataclass(frozen=True)
class Cell:
    """One training run: a title, and its configuration, whose `out` is the cell's own folder."""

    title: str
    config: TrainConfig

    @property
    def folder(self) -> Path:
        """Where the run directory of this cell is, or will be."""
        assert self.config.out is not None
        return self.config.out


@dataclass(frozen=True)
class Outcome:
    """How a cell ended: `error` is empty where it finished, `signal_code` 130 or 143 where it was stopped."""

    error: str = ""
    exit_code: int = 0
    signal_code: int = 0
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.error}\n{self.hint}" if self.hint else self.error


def finished_summary(folder: Path, *, tested: bool = True) -> TrainResult | None:
    """The summary of a finished cell; None where there is none yet, or with `tested` none of its test.

    A cell that broke off after its summary, as amid its figures, is not finished. `CheckpointError` where the
    summary is damaged.
    """
    run = RunDirectory(folder)
    path = run.summary_path
    if not path.is_file() or run.state() in _BROKE_OFF:
        return None
    hint = f"remove {folder}: its cell is then trained again"
    summary = read(path, TypeAdapter(TrainResult), hint=hint)
    return None if tested and summary.test is None else summary


def threads_each(threads: int | None, jobs: int) -> int | None:
    """The threads of each of `jobs` cells at a time: workers that each take all slow one another down."""
    return threads if jobs == 1 else max(1, (threads or torch.get_num_threads()) // jobs)


def train_cells(
    cells: Sequence[Cell],
    *,
    jobs: int = 1,
    finish: Finish | None = None,
    observers: Sequence[Observer] = (),
) -> Generator[tuple[Cell, Outcome]]:
    """Train the cells, `jobs` at a time; yield each as it ends, finished or failed.

    A cell that an earlier attempt broke off goes on from its own checkpoint. The observers see the cells that
    are trained in this process: all with one job. `InterruptedRun` on a signal, when no process is left.
    """
    if jobs == 1 or len(cells) <= 1:
        for cell in cells:
            yield cell, _checked(train_one(cell, finish, observers))
    else:
        yield from _in_processes(cells, jobs, finish)


def train_one(cell: Cell, finish: Finish | None = None, observers: Sequence[Observer] = ()) -> Outcome:
    """Train a cell in this process. Every error is part of the answer: none of them stops the other cells.

    What an earlier attempt left in its folder is resumed where there is a checkpoint, and removed where not.
    """
    try:
        if _resumed(cell, finish, observers) is None:
            if cell.folder.is_dir() and not cell.folder.is_symlink():
                shutil.rmtree(cell.folder)
            _trained(cell.config, finish, observers)
    except InterruptedRun as error:
        return Outcome(error.message, error.exit_code, signal_code=error.exit_code)
    except KeyboardInterrupt:
        return Outcome("interrupted", 130, signal_code=130)
    except NnkitError as error:
        return Outcome(error.message, error.exit_code, hint=error.hint)
    except Exception as error:  # a plugin, or torch out of memory, may raise anything
        return Outcome(f"{type(error).__name__}: {error}", 1)
    return Outcome()


def _trained(config: TrainConfig, finish: Finish | None, observers: Sequence[Observer]) -> Trained:
    # Trying batch sizes beside the other cells would tell too little, and could cost them their memory.
    return training.train(Resolved(config, {}), observers=observers, finish=finish, advise=False)


def _resumed(cell: Cell, finish: Finish | None, observers: Sequence[Observer]) -> Trained | None:
    """The cell's run, gone on with from its checkpoint; None where it has none that can be read."""
    run = RunDirectory(cell.folder)
    if run.state() not in _BROKE_OFF or cell.folder.is_symlink() or not run.checkpoints.states():
        return None
    config = cell.config.model_copy(update={"resume": cell.folder, "out": None})
    try:
        return _trained(config, finish, observers)
    except CheckpointError as error:
        logger.warning("%s: %s; it is trained from its beginning", cell.title, error.message)
        return None
    except UsageError as error:  # its settings or its data are not what they were
        error.hint = f"remove {cell.folder}: its cell is then trained again"
        raise


def _checked(outcome: Outcome) -> Outcome:
    if outcome.signal_code:
        raise InterruptedRun(outcome.error, exit_code=outcome.signal_code)
    return outcome


@dataclass
class _Running:
    cell: Cell
    process: SpawnProcess
    answer: Connection

    @property
    def has_answered(self) -> bool:
        """Whether there is an answer to read, or the process ended and there will be none."""
        return self.answer.poll() or not self.process.is_alive()


def _in_processes(cells: Sequence[Cell], jobs: int, finish: Finish | None) -> Iterator[tuple[Cell, Outcome]]:
    waiting, running = deque(cells), list[_Running]()
    with listening() as interrupt:
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    running.append(_start(waiting.popleft(), finish))
                # A process with a long answer ends only once the answer is read: the pipe holds 64 KiB.
                wait([each.answer for each in running], POLL_S)
                if interrupt.signal:
                    raise InterruptedRun("interrupted", exit_code=interrupt.exit_code)
                for ended in [each for each in running if each.has_answered]:
                    running.remove(ended)
                    yield ended.cell, _checked(_answer(ended))
        finally:
            _stop(running)


def _start(cell: Cell, finish: Finish | None) -> _Running:
    context = multiprocessing.get_context("spawn")
    answer, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(cell, finish, theirs), name=f"nnkit {cell.title}")
    with _without_ctrl_c():
        process.start()
    theirs.close()
    return _Running(cell, process, answer)


@contextlib.contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """A process started here never sees Ctrl-C: this one does, and ends it. None is lost meanwhile."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # the first process starts it, and that would let Ctrl-C through again
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


def _work(cell: Cell, finish: Finish | None, answer: Connection) -> None:
    """A process's whole life: one cell."""
    ignore_after_first()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    answer.send(train_one(cell, finish))


def _end_with_parent() -> None:
    # A parent killed with no chance to clean up must leave nobody who writes to its folders.
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _answer(ended: _Running) -> Outcome:
    try:
        outcome: Outcome | None = ended.answer.recv() if ended.answer.poll() else None
    except (EOFError, OSError):
        outcome = None
    ended.process.join()
    ended.answer.close()
    code = ended.process.exitcode
    if outcome is not None:
        return outcome
    cause = f"signal {-code}, as of a machine out of memory" if code and code < 0 else f"exit code {code}"
    return Outcome(f"its process ended without an answer ({cause})", 1)


def _stop(running: Sequence[_Running]) -> None:
    """End the processes. One that has answered has written all: what torch takes to unload is spared."""
    for each in running:
        each.process.terminate()
    ends = time.monotonic() + GRACE_S
    for each in running:
        each.answer.poll(max(0.0, ends - time.monotonic()))
        if _has_children(each.process):
            each.process.join(max(0.0, ends - time.monotonic()))
    for each in running:
        each.process.kill()
        each.process.join()


def _has_children(process: SpawnProcess) -> bool:
    """Whether a process has some of its own, such as workers that read images, which it ends itself."""
    try:
        return bool(psutil.Process(process.pid).children())
    except psutil.Error:
        return False
