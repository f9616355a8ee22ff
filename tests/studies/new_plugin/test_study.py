"""A written plugin passes nnkit's checks as it stands; a bad name is refused and writes nothing."""

from __future__ import annotations

import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from fake_plugins import write_plugin
from nnkit import registry
from nnkit.errors import UsageError
from nnkit.studies.check_plugin import check_plugin
from nnkit.studies.new_plugin.study import GROUP_OF, new_plugin


@pytest.mark.parametrize("kind", GROUP_OF)
def test_a_new_plugin_passes_every_check(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = new_plugin(f"nnkit-fresh-{kind}", kind=kind, out=tmp_path)
    project = tomllib.loads((result.folder / "pyproject.toml").read_text())["project"]
    points = project["entry-points"][f"nnkit.{GROUP_OF[kind]}"]
    assert points == {f"fresh-{kind}": f"{result.module}:{result.class_name}"}
    target = f"fresh-{kind} = {result.module}:{result.class_name}"
    write_plugin(result.folder, project["name"], f"[nnkit.{GROUP_OF[kind]}]\n{target}\n")
    monkeypatch.syspath_prepend(str(result.folder))
    registry.refresh()
    try:
        checked = check_plugin(project["name"])
    finally:
        monkeypatch.undo()
        registry.refresh()
        sys.modules.pop(result.module, None)
    assert [check for check in checked.checks if check.status == "failed"] == []
    assert checked.passed >= 7


@pytest.mark.parametrize("kind", GROUP_OF)
def test_its_own_tests_are_those_of_the_contract(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = new_plugin(f"nnkit-own-{kind}", kind=kind, out=tmp_path)
    monkeypatch.syspath_prepend(str(result.folder))
    tests = import_module(f"test_{result.module}")
    contract = getattr(tests, f"Test{result.class_name}")
    assert contract.group == GROUP_OF[kind]
    assert contract.component.__name__ == result.class_name
    contract().test_defaults_are_valid_and_round_trip()


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "/x", "-x", "x-", "ü", "a b", "1x", "x" * 101, "json", "torch", "class"],
)
def test_a_bad_name_is_refused_and_writes_nothing(name: str, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    with pytest.raises(UsageError):
        new_plugin(name, kind="model", out=inside)
    assert [path.name for path in tmp_path.rglob("*")] == ["inside"]


def test_a_taken_name_an_existing_folder_and_an_unknown_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match='a pooling "max" is installed already'):
        new_plugin("nnkit-max", kind="pooling", out=tmp_path)
    with pytest.raises(UsageError, match="no kind"):
        new_plugin("nnkit-x", kind="modle", out=tmp_path)
    (tmp_path / "nnkit-x").mkdir()
    with pytest.raises(UsageError, match="exists"):
        new_plugin("nnkit-x", kind="model", out=tmp_path)
    with pytest.raises(UsageError, match="no folder"):
        new_plugin("nnkit-y", kind="model", out=tmp_path / "missing")
    assert [path.name for path in tmp_path.iterdir()] == ["nnkit-x"]
