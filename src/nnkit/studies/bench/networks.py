"""What `--model` of a benchmark names: a run, a file of weights, or a spec. Nothing is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from nnkit import registry
from nnkit.errors import Mistake, UsageError
from nnkit.runs.directory import RunDirectory, default_runs_dir, run_directories
from nnkit.spec import parse


def find_run(text: str, runs_dir: Path | None) -> Path | None:
    """The run or weights that a text names: a path that is there, or a run's name; None for a spec."""
    path = Path(text)
    if path.is_file() or RunDirectory(path).exists():
        return path
    # A folder that is no run does not hide the component of its name.
    if any(entry.group == "models" and entry.name == _bare_name(text) for entry in registry.entries()):
        return None
    if not path.exists():
        runs = list(run_directories(default_runs_dir(runs_dir)))
        if not any(run.name.startswith(text) or run.name.endswith(text) for run in runs):
            return None
    return RunDirectory.find(path, runs_dir).path


def network_mistakes(texts: Sequence[str], runs_dir: Path | None) -> Iterator[Mistake]:
    """A mistake for each text that names neither a run nor an installed model."""
    for text in texts:
        if not text.strip():
            yield Mistake(
                "model", "model is empty", "name a network: --model separable, a run or its weights"
            )
            continue
        try:
            if find_run(text, runs_dir) is None:
                registry.find("models", parse(text).name)
        except UsageError as error:
            yield Mistake("model", error.message, error.hint)


def _bare_name(text: str) -> str:
    return text.partition(":")[0].rpartition("/")[2]
