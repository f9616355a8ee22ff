"""The folder of a run, with the names of its files.

It is created exclusively. Every file in it but the log of metrics is replaced atomically.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import shlex
import shutil
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from pydantic import ValidationError

from nnkit import files
from nnkit.errors import CheckpointError, NnkitError, UsageError, WriteError, did_you_mean
from nnkit.runs import provenance
from nnkit.runs.checkpoints import Checkpoints
from nnkit.runs.lines import LinesFile, read_records
from nnkit.runs.metrics_log import MetricsFile
from nnkit.runs.status import State, Status, utc_now

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HEARTBEAT_S = 10.0
CONFIG, STATUS, SUMMARY, LOG = "config.toml", "status.json", "summary.json", "metrics.jsonl"
ENVIRONMENT, SPLITS, LOCK, ROUNDS = "environment.json", "splits.safetensors", ".lock", "rounds.jsonl"
PLACES = ("out", "runs_dir", "resume")
"""The settings that say where a run was written, which is no part of repeating it."""


class RunDirectory:
    """The folder of a training, a comparison or a benchmark: to read, or, of one's own run, to write.

    Making an object touches nothing. `create` and `reopen` give one that may be written: they hold the
    folder's lock until `close`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = MetricsFile(path / LOG)
        self.rounds = LinesFile(path / ROUNDS)
        """What a benchmark has measured so far."""
        self.checkpoints = Checkpoints(path / "checkpoints")
        self._lock: FileLock | None = None
        self._beat = 0.0
        self._status = Status()
        self._made: list[Path] = []
        self.is_new = False
        """Whether it is `create` that gave this object."""

    @classmethod
    def create(
        cls, runs_dir: Path | None, command: str, title: str, *, out: Path | None = None
    ) -> RunDirectory:
        """A new folder `runs_dir/command/TIME-title-RANDOM`, or `out`, created exclusively.

        `UsageError` where `out` is taken; `NnkitError` (exit 1) where nothing can be written.
        """
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        slug = re.sub(r"[^A-Za-z0-9._]+", "-", title).strip("-.")[:80]
        name = f"{stamp}-{slug}-{secrets.token_hex(3)}"
        path = out if out is not None else default_runs_dir(runs_dir) / command / name
        taken = UsageError(f"{path} is already there", hint="give --out a new or empty folder")
        made = [folder for folder in (path, *path.parents) if not folder.exists()]
        try:
            path.mkdir(parents=True, exist_ok=out is not None)
            if not _is_free(path):
                raise taken
            run = cls(path)._locked()  # of two processes that find it empty, one gets the lock
        except FileExistsError:
            raise taken from None
        except OSError as error:
            _remove_empty(made)
            raise NnkitError(
                f"no run can be written at {path}: {error.strerror}",
                hint="choose another --runs-dir or --out",
            ) from None
        if not _is_free(path):
            run.close()
            raise taken
        files.remove_stale_files(path)
        run._made, run.is_new = made, True
        run._status = Status(command=command)
        return run

    @classmethod
    def reopen(cls, path: Path, command: str | None = None) -> RunDirectory:
        """Open the folder of a run to continue it. `UsageError` where another process uses it.

        `command` is what made it, where that is known: earlier versions did not write it down.
        """
        try:
            run = cls(path)._locked()
        except OSError as error:
            raise NnkitError(
                f"{path / LOCK} cannot be locked: {error.strerror or error}",
                hint="it keeps two processes from writing one run, and must be a file that you may write",
            ) from None
        status = run.status()
        run._status = status.model_copy(update={"command": command or status.command})
        for folder in (path, run.checkpoints.path, path / "figures"):
            files.remove_stale_files(folder)
        return run

    @classmethod
    def find(cls, run: Path | str, runs_dir: Path | None = None) -> RunDirectory:
        """A run by its path, or by its name (or the unique beginning or end of it) under the runs folder."""
        path, name = Path(run), str(run)
        if (path / STATUS).is_file():
            return cls(path)
        if path.is_dir() and name:
            raise CheckpointError(f"{path} is no run directory: it has no {STATUS}")
        known = [each.path for each in run_directories(default_runs_dir(runs_dir))]
        near = [each for each in known if name and (each.name.startswith(name) or each.name.endswith(name))]
        if len(near) == 1:
            return cls(near[0])
        if near:
            shown = ", ".join(each.name for each in near[:5])
            raise UsageError(f'{len(near)} runs are named like "{name}"', hint=shown)
        hint = did_you_mean(name, [each.name for each in known]) if known else "`nnkit train` makes one"
        raise UsageError(
            f"there is no run at {name[:120]}", hint=hint if len(hint) < 300 else "see `nnkit runs list`"
        )

    def _locked(self) -> RunDirectory:
        lock = FileLock(self.path / LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            status = self.status()
            raise UsageError(
                f"{self.path} is in use by process {status.pid} on {status.host}", hint="wait for it"
            ) from None
        except NotImplementedError:  # a file system without locks
            return self
        self._lock = lock
        return self

    # What a run writes

    @contextlib.contextmanager
    def starting(self) -> Iterator[None]:
        """For what is written before the work: where it cannot be, a new folder goes, another is failed."""
        try:
            yield
        except BaseException as error:
            if self.is_new:
                self.discard()
            else:
                self.set_last_state("failed", reason=f"{type(error).__name__}: {error}".splitlines()[0])
                self.close()
            raise

    def write_config(self, text: str) -> None:
        """Write the resolved configuration, which `--config` reads back."""
        files.write_text(self.path / CONFIG, text)

    def write_environment(self, extra: Mapping[str, Any]) -> None:
        """Write what the run runs on, and keep what it ran on before where it goes on."""
        now = {**provenance.full_environment(), **extra}
        files.write_json(self.path / ENVIRONMENT, provenance.with_earlier(now, self.environment()))

    def write_splits(self, indices: Mapping[str, NDArray[np.int64]]) -> None:
        """Write which images were in which split: positions in the source, int64 (N,)."""
        import torch  # not at the top: to list runs takes none

        from nnkit.data import tensor_files

        tensors = {name: torch.from_numpy(positions) for name, positions in indices.items()}
        tensor_files.save(self.path / SPLITS, tensors, {})

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write summary.json: what `--json` prints."""
        files.write_json(self.path / SUMMARY, summary)

    def set_state(self, state: State, **more: Any) -> None:
        """Write status.json: the state, and why (`reason`, `message`, `epoch`, `step`)."""
        before = self._status
        self._status = Status.of_this_process(state, before.started, command=before.command, **more)
        self.beat(force=True)

    def beat(self, *, force: bool = False) -> None:
        """Say that the process is alive, at most every ten seconds."""
        now = time.monotonic()
        if force or now - self._beat >= HEARTBEAT_S:
            self._beat = now
            status = self._status.model_copy(update={"heartbeat": utc_now()})
            files.write_json(self.path / STATUS, status.document())

    def set_last_state(self, state: State, **more: Any) -> None:
        """`set_state` for a run that an error ends: a disk that is full hides no error before it.

        Where it cannot be written, the run shows as killed once its process is gone.
        """
        with contextlib.suppress(WriteError):
            self.set_state(state, **more)

    def close(self) -> None:
        """Close the logs and give the folder free."""
        try:
            self.log.close()
            self.rounds.close()
        finally:
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    def discard(self) -> None:
        """Remove what was made for a run that never started: its folder, and those above it where new."""
        with contextlib.suppress(WriteError):
            self.log.close()
        self.close()
        for path in self.path.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        _remove_empty(self._made)

    # What a run has written

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.name

    @property
    def config_path(self) -> Path:
        """The file of its configuration."""
        return self.path / CONFIG

    @property
    def log_path(self) -> Path:
        """The file of its steps and epochs."""
        return self.path / LOG

    @property
    def summary_path(self) -> Path:
        """The file of its summary."""
        return self.path / SUMMARY

    @property
    def figures(self) -> Path:
        """Where pictures go, each with the data behind it; made when it is asked for."""
        folder = self.path / "figures"
        with files.explained(folder):
            folder.mkdir(exist_ok=True)
        return folder

    def cell(self, name: str) -> RunDirectory:
        """The run of one cell of a study, such as one pooling and seed of a comparison."""
        return RunDirectory(self.path / "cells" / name)

    def cells(self) -> list[RunDirectory]:
        """The runs of a comparison's cells, by name; of a training none."""
        return [RunDirectory(path.parent) for path in sorted(self.path.glob(f"cells/*/{STATUS}"))]

    def exists(self) -> bool:
        """Whether the folder holds a run."""
        return (self.path / STATUS).is_file()

    def has_log(self) -> bool:
        """Whether a step or an epoch was logged."""
        return (self.path / LOG).is_file()

    def status(self) -> Status:
        """What status.json says; of state "unknown" where it cannot be read."""
        try:
            return Status.model_validate(_read_json(self.path / STATUS))
        except ValidationError:
            return Status()

    def resume_command(self) -> str:
        """The command that goes on with this run where it broke off."""
        command, where = self.status().command or "train", shlex.quote(str(self.path))
        if self.is_of_several():
            return f"nnkit {command} --config {shlex.quote(str(self.config_path))} --out {where}"
        return f"nnkit {command} --resume {where}"

    def can_resume(self) -> bool:
        """Whether `resume_command` goes on: a training by itself needs a checkpoint."""
        return self.status().command == "bench" or self.is_of_several() or bool(self.checkpoints.states())

    def is_of_several(self) -> bool:
        """Whether the run is of several seeds, each with a run of its own among the cells."""
        try:
            return "seeds" in tomllib.loads(self.config_text() or "")
        except tomllib.TOMLDecodeError:
            return False

    def state(self) -> State:
        """The state now: "killed" where it says running and its process is gone."""
        return self.status().current

    def summary(self) -> dict[str, Any] | None:
        """What `--json` printed; None where it is not there or damaged."""
        return _read_json(self.path / SUMMARY) or None

    def environment(self) -> dict[str, Any]:
        """What environment.json says; empty where it is not there or damaged."""
        return _read_json(self.path / ENVIRONMENT)

    def config_text(self) -> str | None:
        """The configuration as TOML; None where it is not there or damaged."""
        try:
            return self.config_path.read_text(encoding="utf-8")
        except (OSError, ValueError):
            return None

    def splits(self) -> dict[str, NDArray[np.int64]] | None:
        """Which images were in which split, as `write_splits` had them; None where that is damaged."""
        from nnkit.data import tensor_files

        try:
            return {name: values.numpy() for name, values in tensor_files.read(self.path / SPLITS)[0].items()}
        except (OSError, ValueError):
            return None

    def epochs(self) -> list[dict[str, Any]]:
        """The records of the epochs in metrics.jsonl; `CheckpointError` where it is damaged."""
        return [record for record in read_records(self.log_path) if record.get("kind") == "epoch"]

    def figure_data(self, name: str) -> dict[str, Any]:
        """The data behind a picture, such as "confusion"; empty where there is none or it is damaged."""
        return _read_json(self.path / "figures" / f"{name}.json")

    def file_names(self) -> list[str]:
        """Every file below the folder, sorted, but for the lock."""
        paths = (path for path in self.path.rglob("*") if path.is_file() and path.name != LOCK)
        return sorted(str(path.relative_to(self.path)) for path in paths)


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove the folders that were made, innermost first, up to one in which others write."""
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()


def _is_free(folder: Path) -> bool:
    """Whether a folder holds nothing but what a process left that was killed before its run began."""
    return all(path.name == LOCK or files.is_temporary(path) for path in folder.iterdir())


def default_runs_dir(given: Path | None) -> Path:
    """The folder of runs: as given, else `./runs`."""
    return given if given is not None else Path("runs")


def run_directories(folder: Path) -> Iterator[RunDirectory]:
    """The runs in a folder of runs, by command or side by side; cells of a study are not among them."""
    for pattern in (f"*/{STATUS}", f"*/*/{STATUS}"):
        yield from (RunDirectory(path.parent) for path in sorted(folder.glob(pattern)))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
