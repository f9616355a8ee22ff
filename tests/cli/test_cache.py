"""`nnkit cache`: one strict document, quick and without torch, exit codes as elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nnkit.cli.main import run
from nnkit.data.cache import cached


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("NNKIT_CACHE", str(folder))
    for number in range(2):
        cached(
            folder,
            "pets",
            {"x": number},
            lambda: {"a": torch.zeros(3)},
            source=tmp_path / "pets",
            kind="images",
        )
    return folder


def test_list_and_clear_answer_with_one_document(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cache", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["schema"] == "nnkit.cache/1"
    assert [entry["path"] for entry in listed["entries"]] == sorted(map(str, cache.iterdir()))
    assert listed["total"] == {"files": 2, "bytes": sum(path.stat().st_size for path in cache.iterdir())}
    assert run(["cache", "clear", listed["entries"][0]["name"], "--json"]) == 0
    cleared = json.loads(capsys.readouterr().out)
    assert cleared["schema"] == "nnkit.cache-clear/1"
    assert [entry["name"] for entry in cleared["removed"]] == [listed["entries"][0]["name"]]
    assert run(["cache", "clear", "pets", "--older-than", "1d"]) == 0
    assert "Nothing to remove" in capsys.readouterr().out
    assert run(["cache", "clear"]) == 0
    assert "Removed 1 file, " in capsys.readouterr().out
    assert list(cache.iterdir()) == []
    assert run(["cache", "clear"]) == 0
    assert run(["cache", "list"]) == 0


def test_a_name_that_is_not_there_is_a_mistake_of_the_user(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["cache", "clear", "pest", "--json"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert 'did you mean "pets"?' in json.loads(err.splitlines()[-1])["error"]["hint"]
    assert len(list(cache.iterdir())) == 2


def test_what_cannot_be_removed_is_told_after_the_result(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "unlink", refuse)
    assert run(["cache", "clear", "--json"]) == 1
    out, err = capsys.readouterr()
    assert len(json.loads(out)["failed"]) == 2
    assert "2 of 2 files could not be removed" in err


@pytest.mark.parametrize("command", ["list", "clear"])
def test_no_torch_is_imported(cache: Path, command: str) -> None:
    code = (
        "import sys; from nnkit.cli.main import run\n"
        f"assert run(['cache', '{command}', '--json']) == 0\n"
        "print(sorted({'torch', 'torchvision', 'scipy', 'matplotlib'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)
    assert done.stderr.strip() == "[]"
    assert len(json.loads(done.stdout)["entries" if command == "list" else "removed"]) == 2
