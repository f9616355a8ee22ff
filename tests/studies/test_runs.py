import json
import os
import socket
from datetime import UTC, datetime

import pytest

from nnkit.errors import CheckpointError, NnkitError, UsageError
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


def test_a_torn_log_and_an_unreadable_configuration_are_shown_as_far_as_they_go(tmp_path):
    path = make_run(tmp_path, "torn", state="finished")
    (path / "config.toml").write_bytes(b"\xff")
    (path / "metrics.jsonl").write_text('{"kind": "epoch", "epoch": 1, "metrics": {}}\n{"ki')
    result = show_run(path)
    assert result.summary is None
    assert result.config is None
    assert len(result.epochs) == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("summary.json", "{"),
        ("summary.json", "[1]"),
        ("summary.json", '{"schema": "nnkit.train/1", "best": 3}'),
        ("summary.json", '{"schema": "nnkit.unheard-of/1"}'),
        ("summary.json", "[" * 100_000),
        ("metrics.jsonl", '{"kind": "epoch", "a": ' + "[" * 100_000),
        ("metrics.jsonl", '{"kind": "epoch", "epoch": "one", "metrics": {}}'),
    ],
)
def test_a_damaged_file_is_one_error_that_names_it_and_the_list_still_has_the_run(tmp_path, name, content):
    path = make_run(tmp_path, "damaged", state="finished")
    (path / name).write_text(content)
    with pytest.raises(CheckpointError, match=f"{name} is damaged") as caught:
        show_run(path)
    assert caught.value.exit_code == 1
    assert "\n" not in caught.value.message
    assert [(row.name, row.state) for row in list_runs(tmp_path).runs] == [("damaged", "finished")]


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(NnkitError, match="no run directory"):
        show_run(tmp_path)


def test_runs_side_by_side_in_a_folder_are_listed_and_cells_are_not(tmp_path):
    for name in ("one", "two"):
        make_run(tmp_path, name, state="finished").rename(tmp_path / name)
    make_run(tmp_path / "two" / "cells", "cell", state="finished")
    assert {row["name"] for row in list_runs(tmp_path)["runs"]} == {"one", "two"}
