from __future__ import annotations

import json
from pathlib import Path

import pytest

from nnkit.errors import NnkitError, UsageError
from nnkit.training import run_directory
from nnkit.training.run_directory import create, read_log
from nnkit.types import EpochResult


@pytest.mark.parametrize("title", ["../../x", "a/b\0c", "<script>", "", "ü" * 300])
def test_no_title_leaves_the_runs_folder(tmp_path: Path, title: str) -> None:
    folder = create(tmp_path, "train", title)
    folder.close()
    assert folder.path.resolve().parent == (tmp_path / "train").resolve()
    assert len(folder.path.name) < 120


def test_an_empty_folder_may_be_given_and_one_in_use_may_not(tmp_path: Path) -> None:
    create(tmp_path, "train", "x", out=tmp_path / "out").close()
    (tmp_path / "empty").mkdir()
    create(tmp_path, "train", "x", out=tmp_path / "empty").close()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    (tmp_path / "file").write_text("keep")
    for taken in ("out", "empty", "mine", "file"):
        with pytest.raises(UsageError, match="already there"):
            create(tmp_path, "train", "x", out=tmp_path / taken)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("way", ["runs", "runs/train"])
def test_where_nothing_can_be_written_the_path_is_named(tmp_path: Path, way: str) -> None:
    (tmp_path / way).parent.mkdir(exist_ok=True)
    (tmp_path / way).write_text("a file in the way")
    with pytest.raises(NnkitError, match=r"no run can be written at .*runs/train") as error:
        create(tmp_path / "runs", "train", "x")
    assert error.value.exit_code == 1


def test_a_state_keeps_when_the_run_started(tmp_path: Path) -> None:
    folder = create(tmp_path, "train", "x")
    folder.set_state("running")
    first = json.loads((folder.path / "status.json").read_text())
    folder.set_state("failed", reason="non-finite", step=3)
    second = json.loads((folder.path / "status.json").read_text())
    folder.close()
    assert second["started"] == first["started"]
    assert (second["state"], second["reason"], second["step"]) == ("failed", "non-finite", 3)


def test_a_heartbeat_is_written_now_and_then_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = create(tmp_path, "train", "x")
    folder.set_state("running")
    path = folder.path / "status.json"
    path.unlink()
    folder.beat()
    assert not path.exists()
    monkeypatch.setattr(run_directory, "HEARTBEAT_S", 0.0)
    folder.beat()
    assert path.exists()
    folder.close()


def test_the_log_is_read_up_to_a_torn_line(tmp_path: Path) -> None:
    folder = create(tmp_path, "train", "x")
    folder.log_epoch(EpochResult(1, 5, {"val_loss": 1.0}))
    folder.close()
    path = folder.path / "metrics.jsonl"
    with path.open("a") as log:
        log.write('{"kind": "epo')
    assert [record["epoch"] for record in read_log(path)] == [1]
    assert read_log(tmp_path / "none") == []
