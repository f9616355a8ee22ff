"""`nnkit doctor`: versions, devices, folders, runs and plugins, and what is wrong with any."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from nnkit import registry
from nnkit.options import DataConfig, Option, RunsDir
from nnkit.registry import BUILT_IN, Entry
from nnkit.results.doctor import Devices, DoctorResult, Folder
from nnkit.results.environment import Environment
from nnkit.results.list_ import Component
from nnkit.runs.directory import default_runs_dir
from nnkit.runs.environment import environment
from nnkit.studies.cache import cache_size
from nnkit.studies.paths import cache_folder, data_place

IMPORT_TIME_LIMIT_S = 20.0
_PROBE = """
import json, sys
from nnkit import registry, schema
from nnkit.errors import NnkitError
entry = registry.Entry(**json.loads(sys.argv[1]))
try:
    schema.settings_of(registry.load(entry).cls, entry.group)
except NnkitError as error:
    print("NNKIT-PROBLEM " + json.dumps(error.message))
else:
    print("NNKIT-FINE")
"""


class DoctorConfig(DataConfig):
    """The options of `nnkit doctor`."""

    download: Annotated[bool, Option("Fetch the dataset if it is missing", shown=False)] = False
    runs_dir: RunsDir = None


def doctor(config: DoctorConfig | None = None, *, time_limit_s: float = IMPORT_TIME_LIMIT_S) -> DoctorResult:
    """What nnkit runs on, where it reads and writes, and what is wrong with any of it."""
    config = config or DoctorConfig()
    components = tuple(_check(entry, time_limit_s) for entry in registry.entries())
    folders = {
        "data_root": _folder(data_place(config).root),
        "cache": _folder(cache_folder(), write=True),
        "runs": _folder(default_runs_dir(config.runs_dir), write=True),
    }
    return DoctorResult(
        environment=Environment(**environment()),
        devices=_devices(),
        folders=folders,
        cache=cache_size(),
        datasets=_datasets(data_place(config).root),
        plugins=os.environ.get("NNKIT_PLUGINS"),
        components=components,
        problems=tuple(_problems(components, folders)),
    )


def _check(entry: Entry, time_limit_s: float) -> Component:
    """Import a third party's component in a process of its own, with a time limit; ours in this one."""
    if entry.provider == BUILT_IN:
        error = entry.error or _import_here(entry)
    elif entry.error and "also provided" not in entry.error:
        error = entry.error
    else:
        error = _import_elsewhere(entry, time_limit_s) or entry.error
    return Component(**{**asdict(entry), "error": error})


def _import_here(entry: Entry) -> str:
    from nnkit.errors import NnkitError

    try:
        registry.load(entry)
    except NnkitError as error:
        return error.message
    return ""


def _import_elsewhere(entry: Entry, time_limit_s: float) -> str:
    title = f"{registry.group_title(entry.group)} {entry.full_name} {entry.version}"
    command = [sys.executable, "-c", _PROBE, json.dumps(asdict(entry))]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=time_limit_s,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
    except subprocess.TimeoutExpired:
        return f"the {title} takes longer than {time_limit_s:g} s to import"
    for line in reversed(done.stdout.splitlines()):
        if line.startswith("NNKIT-PROBLEM "):
            return str(json.loads(line.removeprefix("NNKIT-PROBLEM ")))
        if line == "NNKIT-FINE":
            return ""
    return f"the {title} ended its process at import (exit {done.returncode})"


def _devices() -> Devices:
    import torch

    cuda = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return Devices(
        auto="cuda" if cuda else "mps" if torch.backends.mps.is_available() else "cpu",
        cuda=tuple(cuda),
        threads=torch.get_num_threads(),
        cores=os.cpu_count(),
        machine=platform.machine(),
    )


def _folder(path: Path, *, write: bool = False) -> Folder:
    parent = next((folder for folder in (path, *path.parents) if folder.exists()), Path("/"))
    return Folder(
        path=str(path),
        exists=path.is_dir(),
        readable=path.is_dir() and os.access(path, os.R_OK),
        writable=parent.is_dir() and (_can_write(parent) if write else os.access(parent, os.W_OK)),
        must_write=write,
    )


def _can_write(folder: Path) -> bool:
    """Whether a folder can be created there: permissions alone do not decide, as for root or in /proc."""
    try:
        with tempfile.TemporaryDirectory(prefix=".nnkit-doctor-", dir=folder):
            return True
    except OSError:
        return False


def _datasets(root: Path) -> dict[str, bool]:
    """Which of the datasets in files are in the data root."""
    places = {
        "mnist": "MNIST/raw",
        "mnist-varres": "mnist-varres.tgz",
        "cifar-transform": "cifar-10-batches-py",
    }
    return {name: _is_there(root / place) for name, place in places.items()}


def _is_there(path: Path) -> bool:
    return path.is_file() or (path.is_dir() and any(path.iterdir()))


def _problems(components: Sequence[Component], folders: Mapping[str, Folder]) -> list[str]:
    problems = [f"{c.group} {c.name}: {c.error}" for c in components if c.error]
    for name, folder in folders.items():
        path = Path(folder.path)
        if path.exists() and not path.is_dir():
            problems.append(f"{name}: {folder.path} is no folder")
        elif folder.exists and not folder.readable:
            problems.append(f"{name}: {folder.path} cannot be read")
        elif folder.must_write and not folder.writable:
            problems.append(f"{name}: {folder.path} cannot be written")
    if not components:
        problems.append("no component is found: nnkit is not installed (pip install -e .)")
    return problems
