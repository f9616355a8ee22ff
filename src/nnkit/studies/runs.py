"""`nnkit runs`: the run directories under the runs folder, as their own files tell them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nnkit.runs.directory import RunDirectory, default_runs_dir, run_directories


def list_runs(runs_dir: Path | None = None) -> dict[str, Any]:
    """The document of `nnkit runs list --json`, newest first."""
    folder = default_runs_dir(runs_dir)
    runs = [_row(run) for run in run_directories(folder)]
    runs.sort(key=lambda run: (run["started"] or "", run["name"]), reverse=True)
    return {"schema": "nnkit.runs/1", "runs_dir": str(folder), "runs": runs}


def show_run(run: Path, runs_dir: Path | None = None) -> dict[str, Any]:
    """The document of `nnkit runs show --json`: state, summary, configuration and epochs of one run."""
    found = RunDirectory.find(run, runs_dir)
    status = found.status()
    return {
        "schema": "nnkit.run/1",
        "run_dir": str(found.path),
        "status": {**status.model_dump(exclude_none=True), "state": status.current},
        "summary": found.summary(),
        "config": found.config_text(),
        "epochs": found.epochs(),
        "files": found.file_names(),
    }


def _row(run: RunDirectory) -> dict[str, Any]:
    status, summary = run.status(), run.summary() or {}
    best = summary.get("best") or {}
    metric = best.get("metric")
    return {
        "name": run.name,
        "path": str(run.path),
        "state": status.current,
        "reason": status.reason,
        "dataset": summary.get("dataset"),
        "model": summary.get("model"),
        "metric": metric,
        "best": (best.get("metrics") or {}).get(metric),
        "epochs": summary.get("epochs"),
        "seconds": summary.get("seconds"),
        "started": status.started,
    }
