"""`nnkit runs`: the run directories under the runs folder, as their own files tell them."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Annotated, Any

from nnkit.errors import CheckpointError, UsageError, did_you_mean
from nnkit.options import CommandConfig, Option, RunsDir
from nnkit.runs.directory import default_runs_dir, read_log


class RunsListConfig(CommandConfig):
    """The options of `nnkit runs list`."""

    runs_dir: RunsDir = None


class RunsShowConfig(RunsListConfig):
    """The options of `nnkit runs show`."""

    run: Annotated[Path, Option("A run's folder, or its name under the runs folder", argument=True)]


def list_runs(runs_dir: Path | None = None) -> dict[str, Any]:
    """The document of `nnkit runs list --json`, newest first."""
    folder = default_runs_dir(runs_dir)
    runs = [_row(path) for path in _run_paths(folder)]
    runs.sort(key=lambda run: (run["started"] or "", run["name"]), reverse=True)
    return {"schema": "nnkit.runs/1", "runs_dir": str(folder), "runs": runs}


def show_run(run: Path, runs_dir: Path | None = None) -> dict[str, Any]:
    """The document of `nnkit runs show --json`: state, summary, configuration and epochs of one run."""
    path = find_run(run, runs_dir)
    return {
        "schema": "nnkit.run/1",
        "run_dir": str(path),
        "status": {**_json(path / "status.json"), "state": _state(path)},
        "summary": _json(path / "summary.json") or None,
        "config": _text(path / "config.toml"),
        "epochs": [record for record in read_log(path / "metrics.jsonl") if record.get("kind") == "epoch"],
        "files": sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()),
    }


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


def _row(path: Path) -> dict[str, Any]:
    status, summary = _json(path / "status.json"), _json(path / "summary.json")
    best = summary.get("best") or {}
    metric = best.get("metric")
    return {
        "name": path.name,
        "path": str(path),
        "state": _state(path),
        "reason": status.get("reason"),
        "dataset": summary.get("dataset"),
        "model": summary.get("model"),
        "metric": metric,
        "best": (best.get("metrics") or {}).get(metric),
        "epochs": summary.get("epochs"),
        "seconds": summary.get("seconds"),
        "started": status.get("started"),
    }


def _state(path: Path) -> str:
    """The run's state; "killed" where it says running and its process on this host is gone."""
    status = _json(path / "status.json")
    state = str(status.get("state", "unknown"))
    if state == "running" and status.get("host") == socket.gethostname() and not _alive(status.get("pid")):
        return "killed"
    return state


def _alive(pid: object) -> bool:
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
