"""Runs that start in the same second get folders of their own; a folder in use is refused.

Row 19 of docs/reliability.md.
"""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from nnkit.cli import main
from nnkit.errors import NnkitError
from nnkit.runs.directory import RunDirectory
from tiny_plugin import TinyPlugin


def make(folder: Path, out: Path | None, answers: multiprocessing.Queue[str]) -> None:
    try:
        made = RunDirectory.create(folder, "train", "digits-net", out=out)
        made.set_state("running")
        made.close()
        answers.put(str(made.path))
    except NnkitError as error:
        answers.put(f"refused {error.exit_code}")


def twenty(folder: Path, out: Path | None = None) -> list[str]:
    """What twenty processes get that ask for a run at once."""
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    processes = [context.Process(target=make, args=(folder, out, answers)) for _ in range(20)]
    for process in processes:
        process.start()
    found = [answers.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    return found


def test_twenty_processes_get_twenty_folders(tmp_path: Path) -> None:
    found = twenty(tmp_path)
    assert len(set(found)) == 20
    assert all(RunDirectory(Path(path)).exists() for path in found)


def test_of_twenty_processes_one_gets_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    found = twenty(tmp_path, tmp_path / "out")
    assert sorted(found) == sorted([str(tmp_path / "out"), *["refused 2"] * 19])


def test_a_folder_in_use_is_refused(tiny: TinyPlugin, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    assert main.run(["train", "--dataset", "tiny", "--out", str(tmp_path / "out")]) == 2
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["notes.txt"]


def test_a_runs_folder_that_cannot_be_written_is_named(
    tiny: TinyPlugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(path: Path, *more: object, **named: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    code = main.run(["train", "--dataset", "tiny", "--runs-dir", str(tmp_path / "locked"), "--json"])
    assert code == 1
    message = json.loads(capfd.readouterr().err.splitlines()[-1])["error"]["message"]
    assert str(tmp_path / "locked") in message
    assert "Permission denied" in message
