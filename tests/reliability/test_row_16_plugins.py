"""Broken plugins break nothing but themselves.

Row 16 of docs/reliability.md.
"""

import json
import os
import subprocess
import sys
import time

import pytest

from fake_plugins import write_plugin
from nnkit import registry
from nnkit.cli.main import run
from nnkit.options import PlaceConfig
from nnkit.studies import doctor as doctor_module

BROKEN = {
    "lacks": ("import nothing_of_this_name", "ModuleNotFoundError"),
    "typo": ("def (", "SyntaxError"),
    "exits": ("raise SystemExit(0)", "SystemExit"),
    "wrong": ("Rule = 5", "not a class"),
    "kills": ("import os; os._exit(7)", "ended its process"),
    "hangs": ("import time; time.sleep(60)", "takes longer"),
    "stale": ("", "ModuleNotFoundError"),
}


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    for name, (module, _) in BROKEN.items():
        points = f"[nnkit.stopping_rules]\nrule-{name} = {name}:Rule\n"
        write_plugin(tmp_path, name, points, module=module)
    write_plugin(tmp_path, "garbled", "[nnkit.losses]\nbad name\n")
    monkeypatch.setenv("NNKIT_PLUGINS", ",".join([*BROKEN, "garbled"]))
    registry.refresh()
    yield tmp_path
    monkeypatch.undo()
    registry.refresh()


def test_help_list_and_other_components_work(plugins, capsys):
    assert run(["--help"]) == 0
    capsys.readouterr()
    assert run(["list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["components"]
    assert {f"rule-{name}" for name in BROKEN} < {row["name"] for row in rows}
    assert run(["info", "patience"]) == 0


@pytest.mark.parametrize("name", ["lacks", "typo", "exits", "wrong", "stale"])
def test_using_a_broken_one_by_name_exits_1_with_the_cause(plugins, name, capsys):
    assert run(["info", f"rule-{name}", "--json"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert f"of {name} 1.0" in err
    assert BROKEN[name][1] in json.loads(err.splitlines()[-1])["error"]["message"]
    assert "Traceback" not in err


def test_the_doctor_names_each_culprit_and_waits_for_none(plugins, monkeypatch):
    started = time.monotonic()
    document = doctor_module.doctor(PlaceConfig(), time_limit_s=6)
    assert time.monotonic() - started < 50
    errors = {row.name: row.error for row in document.components}
    for name, (_, cause) in BROKEN.items():
        assert cause in errors[f"rule-{name}"]
    assert "malformed" in errors["bad name"]
    assert errors["patience"] == ""
    assert len(document["problems"]) >= len(BROKEN) + 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[nnkit.models]\nx = \xff:Y\n", "entry_points.txt is not UTF-8"),
        (b"[nnkit.models]\nno equals sign\n", "malformed name"),
    ],
)
def test_malformed_entry_points_break_no_import_and_are_told(tmp_path, content, said):
    write_plugin(tmp_path, "broken", "")
    (tmp_path / "broken-1.0.dist-info" / "entry_points.txt").write_bytes(content)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    for command, shown in (("info max", "pooling"), ("list", said)):
        done = subprocess.run(
            [sys.executable, "-m", "nnkit", *command.split()],
            capture_output=True, text=True, timeout=60, env=environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert shown in " ".join(done.stdout.split())
