"""`nnkit new-plugin` and `nnkit check-plugin` from the command line: output, JSON and exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fake_plugins import write_plugin
from golden_files import check_golden
from nnkit import registry
from nnkit.cli.main import run
from nnkit.studies.new_plugin.study import new_plugin
from nnkit.testing import CHECKS


def test_new_plugin_prints_what_to_do_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["new-plugin", "nnkit-neat", "--kind", "loss", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert f"pip install -e {tmp_path}/nnkit-neat" in out
    assert (tmp_path / "nnkit-neat" / "nnkit_neat.py").is_file()


def test_new_plugin_as_json_is_one_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["new-plugin", "nnkit-neat", "--kind", "model", "--out", str(tmp_path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "nnkit.new-plugin/1"
    assert document["files"] == ["README.md", "nnkit_neat.py", "pyproject.toml", "test_nnkit_neat.py"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["new-plugin", "../outside", "--kind", "model"],
        ["new-plugin", "nnkit-x", "--kind", "modle"],
        ["new-plugin", "nnkit-x"],
        ["check-plugin", "no-such-plugin"],
        ["check-plugin", ""],
    ],
)
def test_what_the_user_typed_wrong_exits_2_and_writes_nothing(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert list(tmp_path.parent.glob("outside")) == []
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A stopping rule that `nnkit new-plugin` wrote, found as if pip had installed it."""
    package = new_plugin("nnkit-neat", kind="stopping-rule", out=tmp_path)
    write_plugin(package.folder, "nnkit-neat", "[nnkit.stopping_rules]\nneat = nnkit_neat:Neat\n")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.syspath_prepend(str(package.folder))
    registry.refresh()
    yield package.distribution
    monkeypatch.undo()
    registry.refresh()
    sys.modules.pop("nnkit_neat", None)


def test_a_plugin_that_passes_is_said_to_as_agreed(written: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check-plugin", written]) == 0
    check_golden("cli/check-plugin-output.txt", capsys.readouterr().out.rstrip("\n"))


def test_check_plugin_as_json_has_a_row_per_check(written: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check-plugin", written, "--spec", "neat:epochs=3", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    checks = document.pop("checks")
    assert document == {
        "schema": "nnkit.check-plugin/1",
        "package": "nnkit-neat",
        "version": "1.0",
        "passed": len(checks),
        "failed": 0,
        "skipped": 0,
    }
    assert [check["check"] for check in checks] == ["can_be_imported", *CHECKS["stopping_rules"]]
    for check in checks:
        assert check == {
            "group": "stopping_rules",
            "component": "neat:epochs=3",
            "check": check["check"],
            "status": "passed",
            "message": "",
        }


def test_a_plugin_that_fails_prints_what_was_found_and_exits_4(
    written: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["check-plugin", written, "--spec", "neat:epochs=0", "--json"]) == 4
    streams = capsys.readouterr()
    failed = [check for check in json.loads(streams.out)["checks"] if check["status"] == "failed"]
    assert {check["message"] for check in failed} == {"ValueError: epochs is 0, it must be at least 1"}
    error = json.loads(streams.err.splitlines()[-1])["error"]
    assert error["code"] == 4
    assert error["message"].startswith(f"nnkit-neat failed {len(failed)} of ")
