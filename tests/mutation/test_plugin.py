"""The plugin in runs of pytest as mutmut starts them, over a suite of three tests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mutation import plugin

SUITE = """
import os, pathlib
def test_slow(): pass
def test_quick(): pass
def test_environment(tmp_path):
    pathlib.Path("folder").write_text(str(tmp_path))
    assert "MUTANT_UNDER_TEST" not in os.environ
"""
TIMES = (("slow", 9), ("quick", 1), ("environment", 5))
MUTANT = "nnkit.files.x_dumps__mutmut_3"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """Stands for mutmut's copy."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_files.py").write_text(SUITE)
    (tmp_path / plugin.SECONDS).write_text(
        json.dumps({f"tests/test_files.py::test_{name}": s for name, s in TIMES})
    )
    yield tmp_path
    shutil.rmtree(plugin.scratch(tmp_path), ignore_errors=True)


def run_pytest(project: Path, purpose: str, tests: str = "tests") -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(plugin.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-v",
            "-x",
            "-p",
            "mutation.plugin",
            "-p",
            "no:cacheprovider",
            tests,
        ],
        cwd=project,
        env={**os.environ, "PYTHONPATH": path, "MUTANT_UNDER_TEST": purpose},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_mutant_is_tried_by_cheap_tests_first_in_a_folder_of_its_own_and_the_killer_is_noted(
    project: Path,
) -> None:
    shown = run_pytest(project, MUTANT).stdout
    ran = [
        line.split(" ")[0].split("::")[1]
        for line in shown.splitlines()
        if line.startswith("tests/test_files.py::")
    ]
    assert ran == ["test_quick", "test_environment"]  # the slow one is not needed
    assert (project / "folder").read_text().startswith(str(plugin.scratch(project)))
    (line,) = (project / plugin.LOG).read_text().splitlines()
    tried = json.loads(line)
    assert tried["mutant"] == MUTANT
    assert tried["killer"] == "tests/test_files.py::test_environment"
    assert tried["tests"] == 2
    assert not list(plugin.scratch(project).iterdir())  # and is removed


def test_the_statistics_run_keeps_times_and_hides_its_purpose_from_subprocesses(project: Path) -> None:
    shown = run_pytest(project, "stats").stdout
    assert "3 passed" in shown
    seconds = json.loads((project / plugin.SECONDS).read_text())
    assert set(seconds) == {f"tests/test_files.py::test_{name}" for name in ("slow", "quick", "environment")}
    assert seconds["tests/test_files.py::test_slow"] < 9
    assert not (project / plugin.LOG).exists()


def test_a_mutant_with_which_tests_cannot_be_imported_is_killed(project: Path) -> None:
    (project / "tests/test_files.py").write_text("import os\nassert 'MUTANT_UNDER_TEST' not in os.environ\n")
    done = run_pytest(project, MUTANT, "tests/test_files.py::test_quick")
    assert done.returncode == 1
    (line,) = (project / plugin.LOG).read_text().splitlines()
    assert json.loads(line)["killer"] == "collecting tests/test_files.py"


def test_a_mutant_whose_tests_are_not_there_is_in_error_and_they_are_named(project: Path) -> None:
    done = run_pytest(project, MUTANT, "tests/test_files.py::test_gone")
    assert done.returncode == 4
    (line,) = (project / plugin.LOG).read_text().splitlines()
    assert "test_gone" in json.loads(line)["killer"]


def test_a_test_with_another_name_in_each_run_ends_the_clean_run(project: Path) -> None:
    def clean_run(names: list[str]) -> str:
        seconds = {f"tests/test_files.py::{name}": 1 for name in names}
        (project / plugin.STATS).write_text(json.dumps({"duration_by_test": seconds}))
        return run_pytest(project, "").stdout

    assert "collected 3 items" in clean_run(["test_slow", "test_quick"])
    assert "other names in this run: tests/test_files.py::test_of[0x7f]" in clean_run(["test_of[0x7f]"])
