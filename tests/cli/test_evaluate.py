from __future__ import annotations

import json
from pathlib import Path

import pytest

from nnkit.api import train
from nnkit.cli import main
from tiny_plugin import TinyPlugin


@pytest.fixture
def run(tiny: TinyPlugin, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])
    return train(dataset="tiny", epochs=1, runs_dir=tiny.runs).run_dir


def test_json_is_one_document_with_the_runs_test_metrics(
    run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    capfd.readouterr()
    assert main.run(["evaluate", str(run), "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert document["metrics"] == json.loads((run / "summary.json").read_text())["test"]


def test_the_table_names_split_and_classes(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main.run(["evaluate", str(run), "--split", "val"]) == 0
    out = capfd.readouterr().out
    assert "val" in out
    assert "accuracy" in out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--split", "vall"], 2), (["--dataset", "tiny:classes=5"], 2), (["--batch-size", "0"], 2)],
)
def test_what_cannot_be_is_refused_in_one_message(
    run: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], code: int
) -> None:
    capfd.readouterr()
    assert main.run(["evaluate", str(run), *arguments, "--json"]) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert json.loads(err.splitlines()[-1])["error"]["code"] == code
    assert "Traceback" not in err


def test_a_run_is_named_as_runs_list_names_it(
    run: Path, tiny: TinyPlugin, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NNKIT_RUNS", str(tiny.runs))
    assert main.run(["evaluate", run.name, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["run_dir"] == str(run)
    assert main.run(["evaluate", "no-such-run"]) == 2


def test_of_a_comparison_one_run_is_asked_for(
    run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "many" / "cells").mkdir(parents=True)
    (tmp_path / "many" / "status.json").write_text("{}")
    run.rename(tmp_path / "many" / "cells" / "0-max-seed-0")
    assert main.run(["evaluate", str(tmp_path / "many")]) == 2
    error = capfd.readouterr().err
    assert "holds several runs" in error
    assert "cells/0-max-seed-0" in error
