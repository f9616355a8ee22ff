"""The folder of a comparison: created, or opened again to continue the same comparison."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nnkit import config as configuration
from nnkit.config import resolve
from nnkit.errors import UsageError, quote
from nnkit.runs.directory import PLACES, RunDirectory
from nnkit.studies.compare_pooling.config import ComparePoolingConfig

ELSEWHERE = ("out", "runs_dir", "data_root", "download", "threads", "jobs")
"""What may differ between two starts of one comparison: where things are and how many work at it."""


def open_folder(config: ComparePoolingConfig) -> RunDirectory:
    """A new folder, or `config.out` where it holds this very comparison.

    `UsageError` where `out` holds something else, with the difference, or where a process is at work in it.
    """
    out = config.out
    if out is not None and RunDirectory(out).config_path.is_file():
        _check_same(RunDirectory(out), config)
        folder = RunDirectory.reopen(out)
    else:
        title = f"{config.dataset.name}-{config.model.name}"
        folder = RunDirectory.create(config.runs_dir, "compare-pooling", title, out=out)
        folder.write_config(configuration.dumps(config, leave_out=PLACES))
    folder.write_environment({})
    return folder


def _check_same(folder: RunDirectory, config: ComparePoolingConfig) -> None:
    out = folder.path
    try:
        there = resolve(ComparePoolingConfig, {}, files=[folder.config_path]).config
    except UsageError:
        hint = "give --out a new folder"
        raise UsageError(f"{out} is already there and holds no comparison of poolings", hint=hint) from None
    differences = _differences(_identity(there), _identity(config))
    if differences:
        raise UsageError(
            f"{out} holds another comparison: {'; '.join(differences)}",
            hint="give --out a new folder, or repeat the options of the comparison in it: "
            f"--config {folder.config_path}",
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
