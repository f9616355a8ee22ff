"""The plugin in runs of pytest as mutmut starts them, over a suite of three tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mutation import plugin

SUITE = """
import os
def test_slow(): pass
def test_quick(): pass
def test_environment(tmp_path):
    assert os.environ.get("MUTANT_UNDER_TEST") != "stats"
    assert "{scratch}" not in str(tmp_path)
"""
MUTANT = "nnkit.files.x_dumps__mutmut_3"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Stands for mutmut's copy."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_files.py").write_text(SUITE.format(scratch=plugin.scratch(tmp_path)))
    (tmp_path / plugin.SECONDS).write_text(
        json.dumps({f"tests/test_files.py::test_{name}": s for name, s in (("slow", 9), ("quick", 1))})
    )
    return tmp_path


def run_pytest(project: Path, purpose: str) -> str:
    path = os.pathsep.join([str(Path(plugin.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
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
            "tests",
        ],
        cwd=project,
        env={**os.environ, "PYTHONPATH": path, "MUTANT_UNDER_TEST": purpose},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


def test_a_mutant_is_tried_by_cheap_tests_first_in_a_folder_of_its_own_and_the_killer_is_noted(
    project: Path,
) -> None:
    shown = run_pytest(project, MUTANT)
    ran = [
        line.split(" ")[0].split("::")[1]
        for line in shown.splitlines()
        if line.startswith("tests/test_files.py::")
    ]
    assert ran == ["test_environment", "test_quick", "test_slow"][: len(ran)]  # no time is known of the first
    assert f"AssertionError: assert '{plugin.scratch(project)}" in shown  # its folder is the mutant's own
    (line,) = (project / plugin.LOG).read_text().splitlines()
    tried = json.loads(line)
    assert tried["mutant"] == MUTANT
    assert tried["killer"] == "tests/test_files.py::test_environment"
    assert tried["tests"] == 1
    assert not list(plugin.scratch(project).iterdir())  # and is removed


def test_the_statistics_run_keeps_times_and_hides_its_purpose_from_subprocesses(project: Path) -> None:
    shown = run_pytest(project, "stats")
    assert "3 passed" in shown
    seconds = json.loads((project / plugin.SECONDS).read_text())
    assert set(seconds) == {f"tests/test_files.py::test_{name}" for name in ("slow", "quick", "environment")}
    assert seconds["tests/test_files.py::test_slow"] < 9
    assert not (project / plugin.LOG).exists()
