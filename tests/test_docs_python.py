"""docs/python.md and examples/own_data.py do what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import nnkit
from nnkit.studies.runs import show_run

ROOT = Path(__file__).parents[1]


def test_the_code_of_the_page_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/python.md").read_text(encoding="utf-8"), re.S)
    assert len(blocks) == 7
    space: dict[str, object] = {"__name__": "page"}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), space)
    assert space["more"].epochs == 4  # type: ignore[attr-defined]
    assert space["found"].metrics.accuracy == space["result"].best.value  # type: ignore[attr-defined]


def test_the_page_names_every_function() -> None:
    page = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in page or f"nnkit.{name}" in page for name in nnkit.__all__)


def test_the_example_trains_compares_and_leaves_runs_that_are_shown(tmp_path: Path) -> None:
    script = ROOT / "examples/own_data.py"
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "runs")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("adam:lr=0.02: validation accuracy")
    given, expected = re.findall(r"\[[\d, ]+\]", lines[-1])
    assert given == expected
    for name in ("adam", "sgd"):
        shown = show_run(tmp_path / "runs" / name, None)
        assert (shown.status.state, len(shown.epochs)) == ("finished", 3)
