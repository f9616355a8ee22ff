"""The folder of a study of many cells: made new, or opened again to go on with the same study."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnkit import config as configuration
from nnkit.config import resolve
from nnkit.errors import UsageError, quote
from nnkit.options import FolderConfig
from nnkit.runs.directory import PLACES, RunDirectory

ELSEWHERE = ("out", "runs_dir", "data_root", "download", "threads", "jobs")
"""What may differ between two starts of one study: where things are and how many work at it."""


def open_folder(
    config: FolderConfig, command: str, title: str, *, out: Path | None, kind: str
) -> RunDirectory:
    """A new folder for `command`, or `out` where it holds this very study.

    `kind` is what the study is called: "comparison". `UsageError` where `out` holds something else, with the
    difference, or where a process is at work in it.
    """
    if out is not None and RunDirectory(out).config_path.is_file():
        _check_same(RunDirectory(out), config, kind)
        folder = RunDirectory.reopen(out, command)
    else:
        folder = RunDirectory.create(config.runs_dir, command, title, out=out)
    with folder.starting():
        if folder.is_new:
            folder.write_config(configuration.dumps(config, leave_out=PLACES))
        folder.write_environment({})
    return folder


def _check_same(folder: RunDirectory, config: FolderConfig, kind: str) -> None:
    out = folder.path
    try:
        there = resolve(type(config), {}, files=[folder.config_path]).config
    except UsageError:
        raise UsageError(
            f"{out} is already there and holds no {kind}", hint="give --out a new folder"
        ) from None
    differences = _differences(_identity(there), _identity(config))
    if differences:
        raise UsageError(
            f"{out} holds another {kind}: {'; '.join(differences)}",
            hint=f"give --out a new folder, or repeat the options of the {kind} in it: "
            f"--config {folder.config_path}",
        )


def _identity(config: FolderConfig) -> Mapping[str, Any]:
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
