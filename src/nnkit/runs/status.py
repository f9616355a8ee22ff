"""The state of a run in status.json, and whether the process that wrote it still runs."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from typing import Literal

import psutil
from pydantic import Field

from nnkit.results.base import Part

State = Literal["running", "finished", "failed", "interrupted", "killed", "unknown"]
"""`killed`: status.json says running, and the process is gone. `unknown`: it cannot be read."""

SILENT_S = 3600.0
"""A process that cannot be looked up, as on another host, counts as gone after so long without heartbeat."""

SAME_START_S = 2.0
"""Two readings of one process's start differ by less: systems count it in ticks since boot."""


class Status(Part):
    """status.json. Times are ISO 8601 in UTC; `process_started` is in seconds since 1970."""

    state: State = "unknown"
    command: str | None = Field(default=None, description="what made the run, such as train")
    pid: int | None = None
    process_started: float | None = None
    host: str | None = None
    started: str | None = None
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
        except psutil.Error:
            return False
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


def utc_now() -> str:
    """ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
