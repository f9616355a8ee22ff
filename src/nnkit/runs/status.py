"""The state of a run in status.json, and whether the process that wrote it still runs."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import psutil
from pydantic import Field

from nnkit.results.base import Part

State = Literal["running", "finished", "failed", "interrupted", "killed", "unknown"]
"""`killed`: status.json says running, and the process is gone. `unknown`: it cannot be read."""

SILENT_S = 3600.0
"""A process that cannot be looked up, as on another host, counts as gone after so long without heartbeat."""

SAME_START_S = 2.0
"""Two readings of one process's start differ by less: systems count it in ticks since boot."""


Time = Annotated[str, Field(pattern=r"^[0-9T:.+-]{10,40}$")]


class Status(Part):
    """status.json. Times are ISO 8601 in UTC; `process_started` is in seconds since 1970.

    `process_start` says when the process started by what no change of the clock alters: the boot of the
    system, and ticks since then. None where the system does not say.
    """

    state: State = "unknown"
    command: str | None = Field(default=None, description="what made the run, such as train")
    pid: int | None = None
    process_started: float | None = None
    process_start: str | None = None
    host: str | None = None
    started: Time | None = None
    heartbeat: str | None = None
    reason: str | None = None
    message: str | None = None
    epoch: int | None = Field(default=None, description="where a non-finite value ended the run")
    step: int | None = None

    @classmethod
    def of_this_process(cls, state: State, started: str | None = None, **more: object) -> Status:
        """The status of a run that this process has; `started` is kept from the status before."""
        now = utc_now()
        return cls(
            state=state,
            pid=os.getpid(),
            process_started=psutil.Process().create_time(),
            process_start=_start_of(os.getpid()),
            host=socket.gethostname(),
            started=started or now,
            heartbeat=now,
            **more,  # type: ignore[arg-type]
        )

    @property
    def current(self) -> State:
        """The state, and "killed" for a run that says running and whose process is gone."""
        return "killed" if self.state == "running" and not self._process_lives() else self.state

    def _process_lives(self) -> bool:
        if self.host != socket.gethostname():
            return self._heard_lately()
        if self.pid is None or self.pid <= 0:
            return False
        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            started = process.create_time()
        except psutil.AccessDenied:
            return self._heard_lately()
        except (psutil.Error, OverflowError):
            return False
        if self.process_start is not None and (start := _start_of(self.pid)) is not None:
            return start == self.process_start
        if self.process_started is None:  # written by a version that did not say it
            return self._heard_lately()
        return abs(started - self.process_started) < SAME_START_S

    def _heard_lately(self) -> bool:
        try:
            heard = datetime.fromisoformat(self.heartbeat or "")
        except ValueError:
            return False
        heard = heard if heard.tzinfo else heard.replace(tzinfo=UTC)
        return (datetime.now(UTC) - heard).total_seconds() < SILENT_S


def _start_of(pid: int) -> str | None:
    """The boot and the clock ticks since then at which a process started; None where Linux's /proc is not."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        after_name = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2]  # the name may hold anything
        return f"{boot} {int(after_name.split()[19])}"  # field 22, "starttime", of proc(5)
    except (OSError, ValueError, IndexError):
        return None


def utc_now() -> str:
    """ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
