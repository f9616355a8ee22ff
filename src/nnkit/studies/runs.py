"""`nnkit runs`: the run directories under the runs folder, as their own files tell them."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from nnkit.errors import CheckpointError, UsageError, did_you_mean
from nnkit.results.bench import BenchResult
from nnkit.results.compare_pooling import ComparePoolingResult
from nnkit.results.reading import explain, read
from nnkit.results.runs import EpochRecord, RunResult, RunRow, RunsResult, RunStatus, Summary
from nnkit.results.train import TrainResult
from nnkit.runs.directory import default_runs_dir, read_log

_SUMMARY: TypeAdapter[Summary] = TypeAdapter(Summary)
_STATUS = TypeAdapter(RunStatus)


def list_runs(runs_dir: Path | None = None) -> RunsResult:
    """The runs under the runs folder, newest first; of one whose files are damaged, its name and state."""
    folder = default_runs_dir(runs_dir)
    runs = sorted(map(_row, _run_paths(folder)), key=lambda run: (run.started or "", run.name), reverse=True)
    return RunsResult(runs_dir=str(folder), runs=tuple(runs))


def show_run(run: Path, runs_dir: Path | None = None) -> RunResult:
    """State, summary, configuration and epochs of one run. `CheckpointError` names a file that is damaged."""
    path = find_run(run, runs_dir)
    return RunResult(
        run_dir=str(path),
        status=status_of(path),
        summary=_summary(path),
        config=_text(path / "config.toml"),
        epochs=_epochs(path / "metrics.jsonl"),
        files=tuple(sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file())),
    )


def find_run(run: Path, runs_dir: Path | None = None) -> Path:
    """A run by its path, or by its name (or the unique beginning or end of it) under the runs folder."""
    if (run / "status.json").is_file():
        return run
    if run.is_dir():
        raise CheckpointError(f"{run} is no run directory: it has no status.json")
    paths = list(_run_paths(default_runs_dir(runs_dir)))
    near = (
        [path for path in paths if path.name.startswith(str(run)) or path.name.endswith(str(run))]
        if str(run)
        else []
    )
    if len(near) == 1:
        return near[0]
    if near:
        raise UsageError(
            f'{len(near)} runs are named like "{run}"', hint=", ".join(path.name for path in near[:5])
        )
    names = [path.name for path in paths]
    hint = did_you_mean(str(run), names) if names else "`nnkit train` makes one"
    raise UsageError(
        f"there is no run at {str(run)[:120]}", hint=hint if len(hint) < 300 else "see `nnkit runs list`"
    )


def _run_paths(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob("*/*/status.json"))


def _row(path: Path) -> RunRow:
    status = status_of(path)
    try:
        summary = _summary(path)
    except CheckpointError:
        summary = None
    best = summary.best if isinstance(summary, TrainResult) else None
    return RunRow(
        name=path.name,
        path=str(path),
        state=status.state,
        reason=status.reason,
        dataset=summary.dataset if summary else None,
        model=None if summary is None or isinstance(summary, BenchResult) else summary.model,
        metric=best.metric if best else None,
        best=best.value if best else None,
        epochs=None if summary is None or isinstance(summary, BenchResult) else summary.epochs,
        seconds=None if summary is None or isinstance(summary, BenchResult) else summary.seconds,
        started=status.started,
        winner=summary.winner if isinstance(summary, ComparePoolingResult) else None,
    )


def _summary(path: Path) -> Summary | None:
    try:
        return read(path / "summary.json", _SUMMARY, hint="remove it, or repeat the run with its config.toml")
    except FileNotFoundError:
        return None


def _epochs(path: Path) -> tuple[EpochRecord, ...]:
    """The epochs of a log; a torn tail is left out."""
    try:
        records = [record for record in read_log(path) if record.get("kind") == "epoch"]
        return tuple(EpochRecord.model_validate(record) for record in records)
    except RecursionError:
        why = "a line is nested too deeply"
    except ValidationError as error:
        why = explain(error)
    raise CheckpointError(
        f"{path} is damaged: {why}", hint="remove it, or repeat the run with its config.toml"
    )


def status_of(path: Path) -> RunStatus:
    """The run's status; "killed" where it says running and its process on this host is gone.

    "unknown" where its status.json is missing or damaged.
    """
    try:
        status = read(path / "status.json", _STATUS)
    except (FileNotFoundError, CheckpointError):
        return RunStatus(state="unknown")
    if status.state == "running" and status.host == socket.gethostname() and not _alive(status.pid):
        return status.model_copy(update={"state": "killed"})
    return status


def _alive(pid: int | None) -> bool:
    if pid is None or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
