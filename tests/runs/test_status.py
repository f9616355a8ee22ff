"""A run is said to run while its process does: not longer, and not for another one with its number."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from nnkit.runs.status import Status


def ago(**time: float) -> str:
    return (datetime.now(UTC) - timedelta(**time)).isoformat(timespec="milliseconds")


def test_a_run_of_this_process_runs_until_it_says_otherwise() -> None:
    running = Status.of_this_process("running", None)
    assert running.current == "running"
    assert running.model_copy(update={"heartbeat": ago(days=900)}).current == "running"
    assert Status.of_this_process("finished", None).current == "finished"


def test_another_process_with_the_number_of_a_dead_one_is_not_taken_for_it() -> None:
    own = Status.of_this_process("running", None)
    assert own.process_started is not None
    earlier = own.process_started - 60
    reused = own.model_copy(update={"process_started": earlier, "process_start": None})
    assert reused.current == "killed"
    if own.process_start is not None:
        boot, ticks = own.process_start.split()
        for start in (f"{boot} {int(ticks) - 1}", f"{boot[::-1]} {ticks}"):
            assert own.model_copy(update={"process_start": start}).current == "killed"


def test_a_process_that_is_gone_was_killed() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    status = Status(state="running", pid=child.pid, host=socket.gethostname(), heartbeat=ago(seconds=1))
    assert status.current == "running"
    child.kill()
    while status.current == "running":  # until the child is a zombie, which nobody has waited for
        pass
    assert status.current == "killed"
    child.communicate()
    assert status.current == "killed"


@pytest.mark.parametrize("host", ["elsewhere", None])
@pytest.mark.parametrize(
    ("heartbeat", "state"),
    [(ago(minutes=30), "running"), (ago(hours=2), "killed"), (None, "killed"), ("yesterday", "killed")],
    ids=["lately", "long-ago", "never", "unreadable"],
)
def test_of_another_host_the_heartbeat_tells(heartbeat: str | None, state: str, host: str | None) -> None:
    assert Status(state="running", pid=os.getpid(), host=host, heartbeat=heartbeat).current == state


def test_where_the_start_of_the_process_is_not_known_the_heartbeat_tells() -> None:
    here = {"state": "running", "pid": os.getpid(), "host": socket.gethostname()}
    assert Status.model_validate({**here, "heartbeat": ago(minutes=30)}).current == "running"
    assert Status.model_validate({**here, "heartbeat": ago(hours=2)}).current == "killed"


@pytest.mark.parametrize("pid", [None, 0, -1, 2**40])
def test_a_number_that_is_no_process_is_a_dead_run(pid: int | None) -> None:
    status = Status(state="running", pid=pid, host=socket.gethostname(), heartbeat=ago(seconds=1))
    assert status.current == "killed"
