"""A run directory: created exclusively, and every file in it but the log of metrics replaced atomically."""

from __future__ import annotations

import json
import os
import platform
import re
import secrets
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from nnkit import files
from nnkit.errors import NnkitError, UsageError
from nnkit.types import EpochResult

HEARTBEAT_S = 10.0
LOG = "metrics.jsonl"
PLACES = ("out", "runs_dir")
"""The settings that say where a run was written, which is no part of repeating it."""
_LIBRARIES = ("nnkit", "torch", "torchvision", "numpy", "pillow", "kornia", "pydantic", "typer")


class RunDirectory:
    """One run's folder, while it is being written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for folder in (path, *(path / name for name in ("checkpoints/best", "checkpoints/last", "figures"))):
            files.remove_strays(folder)
        self._log = (path / LOG).open("a", encoding="utf-8")
        self._beat = 0.0
        self._status: dict[str, Any] = {}

    @property
    def figures(self) -> Path:
        """Where pictures go."""
        folder = self.path / "figures"
        folder.mkdir(exist_ok=True)
        return folder

    def write_config(self, text: str) -> None:
        """Write the resolved configuration, which `--config` reads back."""
        files.write_text(self.path / "config.toml", text)

    def write_environment(self, extra: Mapping[str, Any]) -> None:
        """Write what the run ran on."""
        files.write_json(self.path / "environment.json", {**environment(), **extra})

    def set_state(self, state: str, **more: Any) -> None:
        """Write status.json: `running`, `finished`, `failed` or `interrupted`, and why."""
        self._status = {
            "state": state,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "started": self._status.get("started", _now()),
            **more,
        }
        self.beat(force=True)

    def beat(self, *, force: bool = False) -> None:
        """Say that the process is alive, at most every ten seconds."""
        now = time.monotonic()
        if force or now - self._beat >= HEARTBEAT_S:
            self._beat = now
            files.write_json(self.path / "status.json", {**self._status, "heartbeat": _now()})

    def log_step(self, *, epoch: int, step: int, loss: float, learning_rate: float) -> None:
        """Append one step to metrics.jsonl."""
        self._write(
            {"kind": "step", "epoch": epoch, "step": step, "loss": loss, "learning_rate": learning_rate}
        )

    def log_epoch(self, result: EpochResult) -> None:
        """Append one epoch to metrics.jsonl and let readers see it."""
        record = asdict(result)
        del record["validation"]  # every number of it stands in `metrics` and `by_resolution`
        self._write({"kind": "epoch", **record})
        self._log.flush()

    def _write(self, record: Mapping[str, Any]) -> None:
        self._log.write(files.dumps(record) + "\n")

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write summary.json: what `--json` prints."""
        files.write_json(self.path / "summary.json", summary)

    def close(self) -> None:
        """Close the log of metrics."""
        self._log.close()


def create(runs_dir: Path, command: str, title: str, *, out: Path | None = None) -> RunDirectory:
    """Make a new folder `runs_dir/command/TIME-title-RANDOM`, or `out`, that nobody else has.

    `UsageError` where `out` is taken; `NnkitError` (exit 1) where nothing can be written.
    """
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    slug = re.sub(r"[^A-Za-z0-9._]+", "-", title).strip("-.")[:80]
    path = out if out is not None else runs_dir / command / f"{stamp}-{slug}-{secrets.token_hex(3)}"
    try:
        path.mkdir(parents=True, exist_ok=out is not None)
        taken = any(path.iterdir())
        if not taken:  # two processes may find the same folder empty: one of them makes this file
            (path / LOG).touch(exist_ok=False)
    except FileExistsError:
        taken = True
    except OSError as error:
        raise NnkitError(
            f"no run can be written at {path}: {error.strerror}", hint="choose another --runs-dir or --out"
        ) from None
    if taken:
        raise UsageError(f"{path} is already there", hint="give --out a new or empty folder")
    return RunDirectory(path)


def default_runs_dir(given: Path | None) -> Path:
    """The folder of runs: as given, else `./runs`."""
    return given if given is not None else Path("runs")


def environment() -> dict[str, Any]:
    """Versions and machine, as environment.json and `nnkit doctor` tell them."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "versions": {name: _version(name) for name in _LIBRARIES},
        "command": sys.argv,
    }


def read_log(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a metrics.jsonl; a torn tail is left out."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    records = []
    for line in lines:
        try:
            records.append(json.loads(line))
        except ValueError:
            break
    return [record for record in records if isinstance(record, dict)]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
        return match[1] if match else platform.processor()
    except OSError:
        return platform.processor()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
