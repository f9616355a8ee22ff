"""Where a run's checkpoints are, as its directory says."""

from __future__ import annotations

from pathlib import Path

from nnkit.runs import training_state
from nnkit.runs.directory import RunDirectory
from nnkit.runs.training_state import SavedState


def best_file(run_dir: Path) -> Path:
    """The file of the best weights."""
    path = RunDirectory(run_dir).checkpoints.best()
    assert path is not None
    return path


def last_file(run_dir: Path) -> Path:
    """The file of the newest training state."""
    return RunDirectory(run_dir).checkpoints.states()[0][1]


def last_state(run_dir: Path) -> SavedState:
    """The newest training state, read."""
    return training_state.read(last_file(run_dir))
