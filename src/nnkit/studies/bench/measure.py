"""The runs of `nnkit bench compare --runs N`: both sides measured anew, each run in a process of its own."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from nnkit.config import check_names, resolve
from nnkit.errors import NnkitError, UsageError
from nnkit.runs.directory import RunDirectory, default_runs_dir
from nnkit.studies.bench.config import BenchConfig

Watch = Callable[[int, int], None]


@dataclass(frozen=True)
class Plan:
    """What one side measures: a file of options, and the interpreter whose nnkit reads it."""

    name: str
    config: Path
    python: str

    @classmethod
    def of(cls, name: str, given: Path, python: Path | None) -> Plan:
        """The plan of side `name`. `UsageError` for what has no options or no interpreter."""
        config = _config_of(given)
        if python is None:
            # What another version of nnkit can read is for it to say.
            check_names(resolve(BenchConfig, {}, files=[config]).config)
            return cls(name, config, sys.executable)
        found = shutil.which(str(python))
        if found is None:
            raise UsageError(
                f"--python-{name} {python} cannot be run", hint="name a Python that has nnkit installed"
            )
        return cls(name, config, found)


def measure(
    a: Plan, b: Plan, *, num_runs: int, runs_dir: Path | None = None, watch: Watch | None = None
) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Measure a, b, a, b and so on; the folders of a's runs and of b's, beside other benchmarks.

    The errors of a run are raised as they are, with its name before them; `watch` is told the runs done and
    their number.
    """
    stem = f"{datetime.now():%Y%m%d-%H%M%S}-compare-{secrets.token_hex(3)}"
    folder = default_runs_dir(runs_dir) / "bench"
    runs: dict[str, list[Path]] = {a.name: [], b.name: []}
    for at in range(num_runs):
        for place, side in enumerate((a, b)):
            run = folder / f"{stem}-{side.name}{at + 1}"
            _measure_once(side, run)
            runs[side.name].append(run)
            if watch is not None:
                watch(2 * at + place + 1, 2 * num_runs)
    return tuple(runs[a.name]), tuple(runs[b.name])


def _measure_once(side: Plan, run: Path) -> None:
    words = ["-m", "nnkit", "bench", "--config", str(side.config), "--out", str(run), "--quiet", "--json"]
    ended = subprocess.run(
        [side.python, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
    )
    if ended.returncode in (0, 3):  # 3: some cells failed, which the comparison tells
        return
    message, hint = _explained(ended)
    kind = UsageError if ended.returncode == 2 else NnkitError
    raise kind(f"run {run.name}: {message}", hint=hint)


def _explained(ended: subprocess.CompletedProcess[str]) -> tuple[str, str]:
    """Message and hint of a run that failed: its last line, which is nnkit's JSON if it can be."""
    lines = ended.stderr.strip().splitlines()
    try:
        error = json.loads(lines[-1])["error"]
        return str(error["message"]), str(error["hint"])
    except (IndexError, ValueError, KeyError, TypeError):
        return f"it ended with code {ended.returncode}: {lines[-1] if lines else 'without a word'}", ""


def _config_of(given: Path) -> Path:
    """The TOML of a run's folder, of a file in one, or the file itself."""
    if given.suffix == ".toml":
        path = given
    else:
        path = RunDirectory(given if given.is_dir() else given.parent).config_path
    if not path.is_file():
        raise UsageError(
            f"{given} has no options to measure with",
            hint="with --runs, A and B are runs of `nnkit bench`, or TOML files of its options",
        )
    return path
