import json

import pytest

from golden_files import check_golden
from nnkit import registry
from nnkit.cli.main import run


@pytest.fixture(autouse=True)
def built_ins_alone(monkeypatch):
    monkeypatch.setenv("NNKIT_PLUGINS", "")
    monkeypatch.setenv("COLUMNS", "80")
    registry.refresh()
    yield
    monkeypatch.undo()
    registry.refresh()


def test_the_models_are_listed_as_agreed(capsys):
    assert run(["list", "models"]) == 0
    check_golden("cli/list-models-output.txt", capsys.readouterr().out.rstrip("\n"))


def test_json_has_one_row_per_component_with_its_error(capsys):
    assert run(["list", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "nnkit.list/1"
    keys = {"group", "name", "provider", "version", "target", "error"}
    assert all(set(row) == keys for row in document["components"])
    assert {"varres-net", "digits", "patience"} <= {row["name"] for row in document["components"]}


def test_several_groups_can_be_asked_for(capsys):
    assert run(["list", "poolings", "stopping-rules", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["components"]
    assert {row["group"] for row in rows} == {"poolings", "stopping_rules"}
