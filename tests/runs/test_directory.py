from __future__ import annotations

import json
import math
import os
import platform
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from nnkit import files
from nnkit.cli.main import run
from nnkit.errors import CheckpointError, NnkitError, UsageError, WriteError
from nnkit.runs import environment as run_environment
from nnkit.runs.directory import RunDirectory, default_runs_dir
from nnkit.runs.lines import read_records
from nnkit.types import EpochResult


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[RunDirectory]:
    made = RunDirectory.create(tmp_path, "train", "x")
    yield made
    made.close()


STATUS_KEYS = {"state", "command", "pid", "process_started", "process_start", "host", "started", "heartbeat"}


def status(folder: RunDirectory) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder.path / "status.json").read_text())
    return found


def test_a_folder_is_named_by_time_title_and_chance(tmp_path: Path) -> None:
    before = datetime.now().replace(microsecond=0)
    made = [RunDirectory.create(tmp_path, "compare", "-.digits var/res: a_b.c.-") for _ in range(2)]
    for folder in made:
        folder.close()
        assert folder.path.parent == tmp_path / "compare"
        match = re.fullmatch(r"(\d{8}-\d{6})-digits-var-res-a_b\.c-[0-9a-f]{6}", folder.path.name)
        assert match, folder.path.name
        stamp = datetime.strptime(match[1], "%Y%m%d-%H%M%S")
        assert before <= stamp <= before + timedelta(minutes=2)
        assert [path.name for path in folder.path.iterdir()] == [".lock"]
    assert made[0].path != made[1].path
    long = RunDirectory.create(tmp_path, "train", "a" * 200)
    long.close()
    assert f"-{'a' * 80}-" in long.path.name


def test_an_out_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    folder = RunDirectory.create(tmp_path / "unused", "train", "x", out=tmp_path / "a" / "b")
    folder.close()
    assert folder.path == tmp_path / "a" / "b"
    assert not (tmp_path / "unused").exists()
    assert (default_runs_dir(None), default_runs_dir(tmp_path)) == (Path("runs"), tmp_path)


def test_a_status_names_the_process_and_is_replaced_with_each_state(folder: RunDirectory) -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    folder.set_state("running")
    first = status(folder)
    assert set(first) == STATUS_KEYS
    assert (first["state"], first["pid"], first["host"]) == ("running", os.getpid(), socket.gethostname())
    for key in ("started", "heartbeat"):
        told = datetime.fromisoformat(first[key])
        assert told.utcoffset() == timedelta(0)
        assert before <= told <= datetime.now(UTC)
        assert re.search(r"\.\d{3}\+00:00$", first[key])
    folder.set_state("interrupted", reason="SIGINT")
    folder.set_state("finished")
    assert set(status(folder)) == STATUS_KEYS
    assert (status(folder)["state"], status(folder)["started"]) == ("finished", first["started"])


def test_a_heartbeat_is_written_every_ten_seconds(
    folder: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    folder.set_state("running", reason="r")
    path = folder.path / "status.json"
    written = []
    for second in (9.9, 10.0, 15.0, 19.9, 20.0, 35.0, 44.9):
        path.unlink(missing_ok=True)
        now[0] = 1000.0 + second
        folder.beat()
        if path.exists():
            written.append(second)
            assert (status(folder)["state"], status(folder)["reason"]) == ("running", "r")
    assert written == [10.0, 20.0, 35.0]
    path.unlink(missing_ok=True)
    folder.beat(force=True)
    assert path.exists()


WRITERS: dict[str, Callable[[RunDirectory, int], None]] = {
    "config.toml": lambda folder, number: folder.write_config(f"epochs = {number}\n"),
    "environment.json": lambda folder, number: folder.write_environment({"number": number}),
    "status.json": lambda folder, number: folder.set_state("running", epoch=number),
    "summary.json": lambda folder, number: folder.write_summary({"number": number, "nan": math.nan}),
}


@pytest.mark.parametrize("name", WRITERS)
def test_whoever_reads_a_file_of_a_run_reads_all_of_it_while_it_is_replaced(
    folder: RunDirectory, name: str
) -> None:
    path = folder.path / name
    WRITERS[name](folder, 1)
    first = path.read_bytes()
    with path.open("rb") as reader:
        WRITERS[name](folder, 2)
        assert reader.read() == first
    second = path.read_bytes()
    assert first != second
    if name.endswith(".json"):
        document = json.loads(second)
        assert document.get("number", document.get("epoch")) == 2
    else:
        assert second == b"epochs = 2\n"
    assert [path.name for path in folder.path.glob(".*")] == [".lock"]


def test_a_summary_is_strict_json(folder: RunDirectory) -> None:
    folder.write_summary({"a": [math.inf, 1.5], "path": Path("x")})
    assert json.loads((folder.path / "summary.json").read_text()) == {"a": [None, 1.5], "path": "x"}


def test_the_environment_names_versions_and_the_machine(
    folder: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["nnkit", "train"])
    folder.write_environment({"device": "cpu", "cores": -1})
    found = json.loads((folder.path / "environment.json").read_text())
    assert (found["device"], found["cores"]) == ("cpu", -1), "what the run knows beats the general"
    assert run_environment.environment()["cores"] == os.cpu_count()
    assert found["python"] == platform.python_version()
    assert found["platform"] == platform.platform()
    assert found["command"] == ["nnkit", "train"]
    names = ("nnkit", "torch", "torchvision", "numpy", "pillow", "kornia", "pydantic", "typer")
    assert found["versions"] == {name: version(name) for name in names}
    assert isinstance(found["cpu"], str)
    if Path("/proc/cpuinfo").exists():
        assert found["cpu"]
        assert found["cpu"] in Path("/proc/cpuinfo").read_text()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("model name\t: A 1\nmodel name\t: B 2\n", "A 1"),
        ("processor: 0\n", "fallback"),
        (None, "fallback"),
    ],
)
def test_the_processor_is_named_where_the_system_names_it(
    monkeypatch: pytest.MonkeyPatch, text: str | None, name: str
) -> None:
    read_text = Path.read_text

    def read(path: Path, **settings: Any) -> str:
        if str(path) != "/proc/cpuinfo":
            return read_text(path, **settings)
        if text is None:
            raise FileNotFoundError(path)
        return text

    monkeypatch.setattr(Path, "read_text", read)
    monkeypatch.setattr(platform, "processor", lambda: "fallback")
    assert run_environment.environment()["cpu"] == name


def test_a_library_that_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_environment, "_LIBRARIES", ("no-such-library-here",))
    assert run_environment.environment()["versions"] == {"no-such-library-here": None}


def test_the_lines_of_an_epoch_are_there_before_the_run_ends(folder: RunDirectory) -> None:
    folder.log.step(epoch=1, step=3, loss=math.nan, learning_rate=0.5)
    folder.log.epoch(EpochResult(1, 5, {"val_loss": 1.0}, validation={"loss": 1.0}))
    found = read_records(folder.path / "metrics.jsonl")
    assert found[0] == {"kind": "step", "epoch": 1, "step": 3, "loss": None, "learning_rate": 0.5}
    assert (found[1]["kind"], found[1]["step"], found[1]["metrics"]) == ("epoch", 5, {"val_loss": 1.0})
    assert "validation" not in found[1]


def test_a_log_that_is_opened_again_goes_on(folder: RunDirectory) -> None:
    folder.log.step(epoch=1, step=1, loss=1.0, learning_rate=0.5)
    folder.close()
    again = RunDirectory(folder.path)
    again.log.step(epoch=1, step=2, loss=1.0, learning_rate=0.5)
    again.close()
    assert [record["step"] for record in read_records(folder.path / "metrics.jsonl")] == [1, 2]


def test_pictures_have_a_folder_that_is_made_once(folder: RunDirectory) -> None:
    assert not (folder.path / "figures").exists()
    assert folder.figures == folder.figures == folder.path / "figures"
    assert folder.figures.is_dir()


def test_opening_a_run_removes_what_a_killed_process_left_in_it(folder: RunDirectory) -> None:
    places = ["", "checkpoints", "figures"]
    old = [folder.path / place / ".ab.0123456789ab.5.tmp" for place in places]
    kept = [folder.path / place / f".ab.{files.host()}.{os.getpid()}.tmp" for place in places]
    for path in (*old, *kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    for path in old:
        os.utime(path, (0, 0))  # all that are a day old go
    folder.close()
    RunDirectory.reopen(folder.path).close()
    assert not [path for path in old if path.exists()]
    assert all(path.exists() for path in kept)


def test_a_log_is_read_up_to_the_first_line_that_is_no_json_and_only_its_records(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"a": 1}\n5\n[]\n{"b": "\xff"}\n{"c"\n{"d": 4}\n')
    assert read_records(path) == [{"a": 1}, {"b": "\ufffd"}]
    assert read_records(tmp_path) == []
    path.write_text('{"a": 1}\n' + "[" * 100_000 + "\n")
    with pytest.raises(CheckpointError, match="nested too deeply"):
        read_records(path)


@pytest.mark.parametrize("title", ["../../x", "a/b\0c", "<script>", "", "ü" * 300])
def test_no_title_leaves_the_runs_folder(tmp_path: Path, title: str) -> None:
    folder = RunDirectory.create(tmp_path, "train", title)
    folder.close()
    assert folder.path.resolve().parent == (tmp_path / "train").resolve()
    assert len(folder.path.name) < 120


def test_an_empty_folder_may_be_given_and_one_in_use_may_not(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for free in ("out", "empty"):
        folder = RunDirectory.create(tmp_path, "train", "x", out=tmp_path / free)
        folder.set_state("running")
        folder.close()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    (tmp_path / "file").write_text("keep")
    for taken in ("out", "empty", "mine", "file"):
        with pytest.raises(UsageError, match="already there"):
            RunDirectory.create(tmp_path, "train", "x", out=tmp_path / taken)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("way", ["runs", "runs/train"])
def test_where_nothing_can_be_written_the_path_is_named(tmp_path: Path, way: str) -> None:
    (tmp_path / way).parent.mkdir(exist_ok=True)
    (tmp_path / way).write_text("a file in the way")
    with pytest.raises(NnkitError, match=r"no run can be written at .*runs/train") as error:
        RunDirectory.create(tmp_path / "runs", "train", "x")
    assert error.value.exit_code == 1


def test_the_log_is_read_up_to_a_torn_line(tmp_path: Path) -> None:
    folder = RunDirectory.create(tmp_path, "train", "x")
    folder.log.epoch(EpochResult(1, 5, {"val_loss": 1.0}))
    folder.close()
    path = folder.path / "metrics.jsonl"
    with path.open("a") as log:
        log.write('{"kind": "epo')
    assert [record["epoch"] for record in read_records(path)] == [1]
    assert read_records(tmp_path / "none") == []


def test_one_process_at_a_time_writes_to_a_run_and_each_may_read_it(folder: RunDirectory) -> None:
    folder.set_state("running")
    with pytest.raises(UsageError, match=rf"in use by process {os.getpid()} on "):
        RunDirectory.reopen(folder.path)
    assert RunDirectory(folder.path).state() == "running"
    folder.close()
    again = RunDirectory.reopen(folder.path)
    again.set_state("finished")
    again.close()
    assert status(folder)["started"] == status(again)["started"]


def test_what_was_killed_before_its_run_began_leaves_a_folder_that_may_be_used(tmp_path: Path) -> None:
    RunDirectory.create(tmp_path, "train", "x", out=tmp_path / "out").close()
    (tmp_path / "out" / ".ab.0123456789ab.5.tmp").write_text("half a file")
    folder = RunDirectory.create(tmp_path, "train", "x", out=tmp_path / "out")
    folder.set_state("running")
    folder.close()
    with pytest.raises(UsageError, match="already there"):
        RunDirectory.create(tmp_path, "train", "x", out=tmp_path / "out")


def test_a_run_that_never_started_leaves_nothing(tmp_path: Path) -> None:
    RunDirectory.create(tmp_path, "train", "x", out=tmp_path / "out").discard()
    assert not (tmp_path / "out").exists()


def test_a_run_whose_start_cannot_be_written_is_gone_or_failed_and_free(tmp_path: Path) -> None:
    new = RunDirectory.create(tmp_path / "runs", "bench", "grid")
    with pytest.raises(WriteError), new.starting():
        raise WriteError("no space left", OSError(28, "full"))
    assert not (tmp_path / "runs").exists()

    folder = RunDirectory.create(None, "train", "a", out=tmp_path / "run")
    with folder.starting():
        folder.set_state("finished")
        folder.write_config("epochs = 1\n")
    folder.close()
    again = RunDirectory.reopen(tmp_path / "run")
    with pytest.raises(WriteError), again.starting():
        raise WriteError("no space left", OSError(28, "full"))
    assert RunDirectory(tmp_path / "run").status().reason == "WriteError: no space left"
    RunDirectory.reopen(tmp_path / "run").close()  # nobody holds it
    assert (tmp_path / "run" / "config.toml").is_file()


@pytest.mark.parametrize("command", ["train", "bench", "train --seeds 0-1", "compare-pooling"])
def test_no_command_leaves_a_folder_whose_configuration_could_not_be_written(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*parts: object) -> None:
        raise WriteError("no space left", OSError(28, "full"))

    monkeypatch.setattr(RunDirectory, "write_config", full)
    small = [] if command == "bench" else ["--epochs", "1"]
    assert run([*command.split(), "--limit", "10", *small, "--out", str(tmp_path / "new" / "run")]) == 1
    assert not (tmp_path / "new").exists()
