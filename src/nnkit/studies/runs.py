"""`nnkit runs`: the run directories under the runs folder, read from their files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import TypeAdapter, ValidationError

from nnkit.errors import CheckpointError, Mistake
from nnkit.options import CommandConfig, Count, DeviceName, FolderConfig, Option, RunsDir, Threads
from nnkit.results.bench import BenchResult
from nnkit.results.compare_pooling import ComparePoolingResult
from nnkit.results.reading import explain, read
from nnkit.results.runs import EpochRecord, RunResult, RunRow, RunsResult, SavedCheckpoints, Summary
from nnkit.results.train import TrainResult
from nnkit.results.train_seeds import TrainSeedsResult
from nnkit.runs import provenance
from nnkit.runs.directory import RunDirectory, default_runs_dir, run_directories
from nnkit.runs.status import State
from nnkit.studies.paths import no_run

_SUMMARY: TypeAdapter[Summary] = TypeAdapter(Summary)
_REPEAT = "remove it, or repeat the run with its config.toml"


class RunsListConfig(CommandConfig):
    """The options of `nnkit runs list`."""

    runs_dir: RunsDir = None


class RunsShowConfig(RunsListConfig):
    """The options of `nnkit runs show`."""

    run: Annotated[Path, Option("A run's folder, or its name under the runs folder", argument=True)]


class RunsVerifyConfig(FolderConfig):
    """The options of `nnkit runs verify`."""

    run: Annotated[Path, Option("A run's folder, or its name under the runs folder", argument=True)]
    epochs: Annotated[
        Count | None, Option("Only the first epochs; then their metrics alone are compared", default="all")
    ] = None
    threads: Annotated[
        Threads, Option("CPU threads that torch computes with", default="as many as the run had")
    ] = None
    device: Annotated[
        DeviceName | None,
        Option(
            "auto, cpu, cuda, cuda:1 or mps",
            "NAME",
            default="the run's",
            takes="auto, cpu, cuda, cuda:1 or mps",
        ),
    ] = None

    def mistakes(self) -> list[Mistake]:
        """A run that is not there."""
        return no_run(self.run, self.runs_dir)


def list_runs(runs_dir: Path | None = None) -> RunsResult:
    """The runs under the runs folder, newest first."""
    folder = default_runs_dir(runs_dir)
    rows = map(_row, run_directories(folder))
    runs = sorted(rows, key=lambda run: (run.started or "", run.name), reverse=True)
    return RunsResult(runs_dir=str(folder), runs=tuple(runs))


def show_run(run: Path, runs_dir: Path | None = None) -> RunResult:
    """State, summary, configuration and epochs of one run. `CheckpointError` names a file that is damaged."""
    found = RunDirectory.find(run, runs_dir)
    status = found.status()
    return RunResult(
        run_dir=str(found.path),
        status=status.model_copy(update={"state": status.current}),
        summary=read_summary(found),
        config=found.config_text(),
        epochs=read_epochs(found),
        files=tuple(found.file_names()),
        checkpoints=_checkpoints(found),
        resume=_resume(found, status.current),
        environment_changes=provenance.changes_within(found.environment()),
    )


def _checkpoints(run: RunDirectory) -> SavedCheckpoints | None:
    states = run.checkpoints.states()
    if not states:
        return None
    newest, not_exact = states[0][0], run.environment().get("resume_not_exact")
    return SavedCheckpoints(
        number=len(states),
        epoch=newest.epoch,
        step=newest.step,
        bytes=run.checkpoints.size(),
        not_exact=not_exact if isinstance(not_exact, str) else None,
    )


def _resume(run: RunDirectory, state: State) -> str | None:
    broken_off = state in ("killed", "interrupted", "failed")
    return run.resume_command() if broken_off and run.can_resume() else None


def _row(run: RunDirectory) -> RunRow:
    status = run.status()
    try:
        summary = read_summary(run)
    except CheckpointError:
        summary = None
    metric, best = _best(summary)
    return RunRow(
        name=run.name,
        path=str(run.path),
        state=status.current,
        reason=status.reason,
        dataset=summary.dataset if summary else None,
        model=None if summary is None or isinstance(summary, BenchResult) else summary.model,
        metric=metric,
        best=best,
        epochs=_num_epochs(summary),
        seconds=None if summary is None or isinstance(summary, BenchResult) else summary.seconds,
        started=status.started,
        winner=summary.winner if isinstance(summary, ComparePoolingResult) else None,
        seeds=len(summary.runs) if isinstance(summary, TrainSeedsResult) else None,
    )


def _best(summary: Summary | None) -> tuple[str | None, float | None]:
    """The monitored metric and its value, of several seeds the mean."""
    if isinstance(summary, TrainSeedsResult):
        return summary.validation.metric, summary.validation.mean
    return (summary.best.metric, summary.best.value) if isinstance(summary, TrainResult) else (None, None)


def _num_epochs(summary: Summary | None) -> int | None:
    if isinstance(summary, TrainSeedsResult):
        return max((run.epochs for run in summary.runs), default=None)
    return None if summary is None or isinstance(summary, BenchResult) else summary.epochs


def read_summary(run: RunDirectory) -> Summary | None:
    """A run's summary; None where it has none, `CheckpointError` where it is damaged."""
    try:
        return read(run.summary_path, _SUMMARY, hint=_REPEAT)
    except FileNotFoundError:
        return None


def read_epochs(run: RunDirectory) -> tuple[EpochRecord, ...]:
    """The epochs of a run's log; a torn tail is left out. `CheckpointError` where it is damaged."""
    try:
        return tuple(EpochRecord.model_validate(record) for record in run.epochs())
    except ValidationError as error:
        raise CheckpointError(f"{run.log_path} is damaged: {explain(error)}", hint=_REPEAT) from None
