import json
import os
import socket
from datetime import UTC, datetime

import pytest

from nnkit.errors import NnkitError, UsageError
from nnkit.studies.runs import list_runs, show_run


def make_run(folder, name, **status):
    path = folder / "train" / name
    path.mkdir(parents=True)
    (path / "status.json").write_text(json.dumps({"host": socket.gethostname(), **status}))
    return path


def test_runs_are_listed_newest_first_and_a_dead_one_is_called_killed(tmp_path):
    make_run(tmp_path, "old", state="running", pid=2**22 + 1, started="2026-01-01")
    heartbeat = datetime.now(UTC).isoformat()
    make_run(tmp_path, "new", state="running", pid=os.getpid(), started="2026-01-02", heartbeat=heartbeat)
    rows = list_runs(tmp_path)["runs"]
    assert [(row["name"], row["state"]) for row in rows] == [("new", "running"), ("old", "killed")]


def test_a_run_is_found_by_the_unique_beginning_of_its_name(tmp_path):
    path = make_run(tmp_path, "20260101-a", state="finished")
    make_run(tmp_path, "20260102-b", state="finished")
    assert show_run(path, tmp_path)["run_dir"] == str(path)
    assert show_run(type(path)("20260101"), tmp_path)["run_dir"] == str(path)
    with pytest.raises(UsageError, match="2 runs"):
        show_run(type(path)("2026"), tmp_path)


def test_damaged_files_are_shown_as_far_as_they_go(tmp_path):
    path = make_run(tmp_path, "torn", state="finished")
    (path / "summary.json").write_text("{")
    (path / "config.toml").write_bytes(b"\xff")
    (path / "metrics.jsonl").write_text('{"kind": "epoch", "epoch": 1, "metrics": {}}\n{"ki')
    document = show_run(path)
    assert document["summary"] is None
    assert document["config"] is None
    assert len(document["epochs"]) == 1


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(NnkitError, match="no run directory"):
        show_run(tmp_path)


def test_runs_side_by_side_in_a_folder_are_listed_and_cells_are_not(tmp_path):
    for name in ("one", "two"):
        make_run(tmp_path, name, state="finished").rename(tmp_path / name)
    make_run(tmp_path / "two" / "cells", "cell", state="finished")
    assert {row["name"] for row in list_runs(tmp_path)["runs"]} == {"one", "two"}
