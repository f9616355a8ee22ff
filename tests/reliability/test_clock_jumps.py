"""A clock that jumps while a run is under way, an hour back or a year ahead, changes nothing of it.

See docs/reliability.md. What is measured goes by clocks that no one sets; times of day are for people.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, Self

import psutil
import pytest

import nnkit
from nnkit import files
from nnkit.runs.directory import RunDirectory
from nnkit.runs.status import Status
from nnkit.studies.runs import list_runs
from nnkit.types import EpochResult, StepResult
from tiny_plugin import TinyPlugin

JUMPS = [timedelta(hours=-1), timedelta(days=365)]


class Clock:
    """The clock of the system, which `jump` sets: what reads it, and what psutil derives from it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.by = timedelta()
        real_time, real_ns, real_created = time.time, time.time_ns, psutil.Process.create_time
        clock = self

        class Jumping(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Self:
                return super().now(tz) + clock.by

        patch.setattr(time, "time", lambda: real_time() + self.by.total_seconds())
        patch.setattr(time, "time_ns", lambda: real_ns() + int(self.by.total_seconds() * 1e9))
        patch.setattr("nnkit.runs.status.datetime", Jumping)
        patch.setattr("nnkit.runs.directory.datetime", Jumping)
        # psutil adds the time of the boot, which Linux says by today's clock, to the ticks since then
        patch.setattr(
            psutil.Process, "create_time", lambda process: real_created(process) + self.by.total_seconds()
        )


class Jumps:
    """Lets the clock jump after two steps, and looks at the run from then on."""

    def __init__(self, clock: Clock, by: timedelta, runs: Path) -> None:
        self.clock, self.by, self.runs = clock, by, runs
        self.seen: set[str] = set()
        self.saved: list[int] = []

    def on_step(self, step: StepResult) -> None:
        if step.step == 2:
            self.clock.by = self.by
        (row,) = list_runs(self.runs).runs
        self.seen.add(row.state)
        states = RunDirectory(Path(row.path)).checkpoints.states()
        self.saved.append(states[0][0].step if states else 0)

    def on_epoch(self, epoch: EpochResult) -> None:
        pass


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])
    return Clock(monkeypatch)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="elsewhere the start of a process is kept")
@pytest.mark.parametrize("by", JUMPS, ids=["back", "ahead"])
def test_a_run_goes_on_and_is_shown_as_running(tiny: TinyPlugin, clock: Clock, by: timedelta) -> None:
    watch = Jumps(clock, by, tiny.runs)
    result = nnkit.train(
        dataset="tiny", batch_size=16, epochs=2, checkpoint_every="5min", runs_dir=tiny.runs,
        stop=["time-limit:minutes=5"], observers=[watch],
    )  # fmt: skip
    assert watch.seen == {"running"}
    assert set(watch.saved) == {0, 6}, "five minutes have not passed"
    assert (result.epochs, result.stopped_by) == (2, "epochs")
    assert 0 < result.seconds < 60
    assert nnkit.train(resume=result.run_dir, epochs=3).epochs == 3


@pytest.mark.parametrize("by", JUMPS, ids=["back", "ahead"])
def test_the_heartbeat_is_written_on(
    tiny: TinyPlugin, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, by: timedelta
) -> None:
    folder = RunDirectory.create(tmp_path, "train", "x")
    folder.set_state("running")
    clock.by = by
    ticking = time.monotonic() + 20
    monkeypatch.setattr("nnkit.runs.directory.time.monotonic", lambda: ticking)
    folder.beat()
    heard = datetime.fromisoformat(folder.status().heartbeat or "")
    assert abs(heard - by - datetime.now(UTC)) < timedelta(seconds=30)
    folder.close()


@pytest.mark.parametrize("by", JUMPS, ids=["back", "ahead"])
def test_what_a_living_process_writes_is_no_stale_file(tmp_path: Path, clock: Clock, by: timedelta) -> None:
    with files.replacing(tmp_path / "file") as temporary:
        temporary.write_text("x")
        clock.by = by
        files.remove_stale_files(tmp_path)
        assert temporary.exists()
    assert (tmp_path / "file").read_text() == "x"


def test_a_clock_back_leaves_the_files_of_other_hosts(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / ".01234567.0123456789ab.5.tmp"
    path.write_text("x")
    clock.by = timedelta(hours=-1)
    files.remove_stale_files(tmp_path)
    assert path.exists()


def test_a_dead_process_is_told_whatever_the_clock_says(clock: Clock) -> None:
    pid = os.fork()
    if not pid:
        time.sleep(60)
        os._exit(0)
    status = Status(**{**Status.of_this_process("running", None).model_dump(), "pid": pid})
    assert status.current == "killed", "another process has the number"
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    for by in JUMPS:
        clock.by = by
        assert status.current == "killed"


def test_a_name_is_given_once_however_the_clock_jumps(tmp_path: Path, clock: Clock) -> None:
    names: list[Any] = []
    for by in (timedelta(), *JUMPS, timedelta()):
        clock.by = by
        folder = RunDirectory.create(tmp_path, "train", "x")
        names.append(folder.path)
        folder.close()
    assert len(set(names)) == 4
