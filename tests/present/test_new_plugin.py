"""What new-plugin wrote: its files as paths, and the commands to go on with, whole and in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnkit.present.new_plugin import new_plugin_text
from nnkit.studies.new_plugin.study import new_plugin


@pytest.mark.parametrize(
    "kind", ["dataset", "model", "pooling", "loss", "stopping-rule", "augmentation", "metric", "tracker"]
)
def test_files_and_commands_stand_each_on_a_line(kind: str, tmp_path: Path) -> None:
    made = new_plugin("nnkit-neat", kind=kind, out=tmp_path)
    lines = new_plugin_text(made).splitlines()
    folder = tmp_path / "nnkit-neat"
    assert lines[0] == f'wrote the {kind} "neat":'
    at = lines.index("")
    assert [Path(line.strip()) for line in lines[1:at]] == sorted(folder.iterdir())
    assert lines[at + 1] == "next:"
    commands = [line.strip() for line in lines[at + 2 :]]
    assert commands[:3] == [
        f"pip install -e {folder}", f"python -m pytest {folder}", "nnkit check-plugin nnkit-neat"
    ]  # fmt: skip
    assert commands[3].startswith("nnkit ")
    assert "neat" in commands[3]
    assert len(commands) == 4
