"""The folder of a comparison: made new, or opened again to go on with the same comparison."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnkit import config as configuration
from nnkit import files
from nnkit.config import resolve
from nnkit.errors import UsageError, quote
from nnkit.runs import directory as run_directory
from nnkit.runs.directory import RunDirectory
from nnkit.studies.compare_pooling.config import ComparePoolingConfig
from nnkit.studies.runs import show_run

ELSEWHERE = ("out", "runs_dir", "data_root", "download", "threads", "jobs")
"""What may differ between two starts of one comparison: where things are and how many work at it."""


def open_folder(config: ComparePoolingConfig) -> RunDirectory:
    """A new folder, or `config.out` where it holds this very comparison.

    `UsageError` where `out` holds something else, with the difference, or where a process is at work in it.
    """
    out = config.out
    if out is not None and (out / "config.toml").is_file():
        _check_same(out, config)
        folder = RunDirectory(out)
        files.remove_strays(out)
    else:
        title = f"{config.dataset.name}-{config.model.name}"
        runs_dir = run_directory.default_runs_dir(config.runs_dir)
        folder = run_directory.create(runs_dir, "compare-pooling", title, out=out)
        folder.write_config(configuration.dumps(config, leave_out=run_directory.PLACES))
    # Its cells keep logs of metrics; the comparison has none of its own.
    folder.close()
    (folder.path / "metrics.jsonl").unlink(missing_ok=True)
    folder.write_environment({})
    return folder


def _check_same(out: Path, config: ComparePoolingConfig) -> None:
    try:
        there = resolve(ComparePoolingConfig, {}, files=[out / "config.toml"]).config
    except UsageError:
        hint = "give --out a new folder"
        raise UsageError(f"{out} is already there and holds no comparison of poolings", hint=hint) from None
    differences = _differences(_identity(there), _identity(config))
    if differences:
        raise UsageError(
            f"{out} holds another comparison: {'; '.join(differences)}",
            hint="give --out a new folder, or repeat the options of the comparison in it: "
            f"--config {out / 'config.toml'}",
        )
    status = show_run(out)["status"] if (out / "status.json").is_file() else {}
    if status.get("state") == "running":
        raise UsageError(
            f"{out} is in use by process {status.get('pid')} on {status.get('host')}",
            hint="wait for it; if it is gone for sure, remove status.json there",
        )


def _identity(config: ComparePoolingConfig) -> Mapping[str, Any]:
    return configuration.dump(config, leave_out=ELSEWHERE)


def _differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    keys = dict.fromkeys([*there, *here])
    return [
        f"{key} is {_show(there.get(key))} there, {_show(here.get(key))} here"
        for key in keys
        if there.get(key) != here.get(key)
    ]


def _show(value: Any) -> str:
    return "not given" if value is None else quote(value)
