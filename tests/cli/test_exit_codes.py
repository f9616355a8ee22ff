"""How each kind of end becomes an exit code, and what stands on stdout and stderr then."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from cli.conftest import Answer
from data.image_files import random_png, write_folder
from nnkit.cli import main
from nnkit.errors import (
    DataError,
    GateError,
    InterruptedRun,
    NnkitError,
    PartialError,
    PluginError,
    UsageError,
)

pytestmark = pytest.mark.usefixtures("plugins")
Ask = Callable[..., Answer]


def error_of(err: str) -> dict[str, Any]:
    """The object on the last line of stderr."""
    document = json.loads(err.splitlines()[-1])
    assert set(document) == {"error"}
    assert set(document["error"]) == {"code", "message", "hint"}
    error: dict[str, Any] = document["error"]
    return error


def refused(answer: Answer, code: int) -> str:
    """The message of an error without a result, which is told once in words and once as JSON."""
    found, document, err = answer
    assert found == code, err
    assert document is None
    error = error_of(err)
    assert error["code"] == code
    assert f"nnkit: error: {error['message']}" in err
    assert not error["hint"] or f"  {error['hint']}" in err
    assert "Traceback" not in err
    return str(error["message"])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NnkitError("oh"), 1),
        (DataError("oh"), 1),
        (PluginError("oh"), 1),
        (UsageError("oh"), 2),
        (PartialError("oh"), 3),
        (GateError("oh"), 4),
        (InterruptedRun("oh", exit_code=143), 143),
        (RuntimeError("oh"), 1),
        (MemoryError("oh"), 1),
        (PermissionError(13, "Permission denied", "/a/place"), 1),
        (KeyboardInterrupt(), 130),
        (typer.Abort(), 130),
        (SystemExit(143), 143),
        (SystemExit("text"), 1),
        (SystemExit(None), 1),
    ],
    ids=repr,
)
def test_an_error_of_a_command_is_its_exit_code(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(groups: object) -> None:
        raise error

    monkeypatch.setattr("nnkit.studies.list_.list_components", fail)
    assert main.run(["list"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    assert main.run(["list", "--json"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    if isinstance(error, Exception) and not isinstance(error, typer.Abort):
        assert error_of(err)["code"] == code


def test_what_went_wrong_on_the_disk_names_the_place(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(groups: object) -> None:
        raise PermissionError(13, "Permission denied", "/a/place")

    monkeypatch.setattr("nnkit.studies.list_.list_components", fail)
    main.run(["list"])
    assert re.fullmatch(r"nnkit: error: Permission denied \(.?/a/place.?\)\n", capsys.readouterr().err)


def test_a_run_that_diverges_exits_1_and_keeps_its_folder(answer: Ask, tmp_path: Path) -> None:
    words = ["train", "--dataset", "tiny", "--loss", "nan-loss:at=2", "--epochs", 1, "--threads", 1]
    message = refused(answer(*words, "--out", tmp_path / "run"), 1)
    assert "step 2" in message
    assert json.loads((tmp_path / "run" / "status.json").read_text())["state"] == "failed"


def test_a_dataset_that_is_not_there_exits_1_and_says_what_to_put_where(answer: Ask, tmp_path: Path) -> None:
    words = ["train", "--dataset", "mnist", "--data-root", tmp_path / "none", "--runs-dir", tmp_path / "runs"]
    code, document, err = answer(*words)
    assert (code, document) == (1, None)
    assert str(tmp_path / "none") in err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["train", "--model", "no-such"],
        ["train", "--batch-size", "0"],
        ["train", "--batch-size", "x"],
        ["evaluate", "no-such-run"],
        ["evaluate"],
        ["runs", "show", "no-such-run"],
        ["info", "no-such"],
        ["list", "no-such"],
        ["count-params", "no-such"],
        ["bench", "compare", "no-such", "no-such"],
        ["bench", "ops", "--kernel", "0"],
        ["compare-pooling", "--pooling", "no-such"],
        ["check-plugin", "no-such"],
        ["new-plugin", "no such", "--kind", "loss"],
        ["new-plugin", "nnkit-neat", "--kind", "no-such"],
        ["no-such"],
        ["train", "--no-such"],
        ["train", "--config", "no-such.toml"],
        ["train", "--set", "no-such"],
    ],
    ids=" ".join,
)
def test_what_the_user_typed_wrong_exits_2_with_nothing_on_stdout(
    words: list[str], answer: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(answer(*words), 2)
    assert list(tmp_path.iterdir()) == []


def test_a_benchmark_of_which_cells_failed_is_printed_whole_and_exits_3(
    answer: Ask, photographs: str, tmp_path: Path
) -> None:
    words = [
        "bench",
        "--dataset",
        photographs,
        "--model",
        "breaks-at-four",
        "--batch-size",
        "2,4",
        "--limit",
        4,
    ]
    code, document, err = answer(*words, "--repeats", 3, "--threads", 1, "--out", tmp_path / "a")
    assert code == error_of(err)["code"] == 3
    cells = document["arms"][-1]["cells"]
    assert cells[0]["error"] is None
    assert "four are too many" in cells[1]["error"]
    assert "1 of " in error_of(err)["message"]
    assert json.loads((tmp_path / "a" / "bench.json").read_text()) == document


@pytest.mark.parametrize(("poolings", "code"), [(["avg", "fragile"], 3), (["fragile"], 1)])
def test_a_comparison_of_which_cells_failed_is_printed_and_exits_3_or_as_the_first_where_all_did(
    poolings: list[str], code: int, answer: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])
    files = {f"{kind}/{at}.png": random_png(at, 10, 10) for kind in "ab" for at in range(10)}
    images = write_folder(tmp_path / "images", files)
    words = ["compare-pooling", "--dataset", f"image-folder:path={images}", "--seeds", 0, "--epochs", 1]
    words += ["--budget", 5600, "--threads", 1, "--device", "cpu", "--out", tmp_path / "out"]
    found, document, err = answer(*words, *[word for name in poolings for word in ("--pooling", name)])
    assert found == error_of(err)["code"] == code, err
    assert [row["pooling"] for row in document["failed"]] == ["fragile"]
    assert f"1 of {len(poolings)} cells failed" in error_of(err)["message"]


def test_a_regression_beyond_the_gate_exits_4_and_one_within_it_does_not(
    answer: Ask, photographs: str, tmp_path: Path
) -> None:
    words = [
        "bench",
        "--dataset",
        photographs,
        "--limit",
        4,
        "--repeats",
        3,
        "--threads",
        1,
        "--batch-size",
        4,
    ]
    code, document, _ = answer(*words, "--out", tmp_path / "run")
    assert code == 0
    before, after = tmp_path / "before", tmp_path / "after"
    for side, factor in ((before, 1.0), (after, 2.0)):  # the same benchmark with times that hardly spread
        for run in (1, 2, 3):
            for at, arm in enumerate(document["arms"]):
                for cell in arm["cells"]:
                    times = (0.0100, 0.0101, 0.0099)
                    cell["samples_s"] = [(factor * 1.001**run if at else 1.0) * time for time in times]
            (side / str(run)).mkdir(parents=True)
            (side / str(run) / "summary.json").write_text(json.dumps(document))
    code, compared, err = answer("bench", "compare", before, after, "--fail-above", "20%")
    assert code == error_of(err)["code"] == 4
    assert (compared["fail_above"], compared["regressions"]) == (0.2, len(compared["cells"]))
    assert {cell["verdict"] for cell in compared["cells"]} == {"slower"}
    assert answer("bench", "compare", before, after, "--fail-above", "150%")[0] == 0
    assert answer("bench", "compare", after, before, "--fail-above", "20%")[0] == 0
    assert answer("bench", "compare", before, after)[0] == 0
    # One run a side does not show how much runs differ.
    code, compared, err = answer("bench", "compare", before / "1", after / "1", "--fail-above", "20%")
    assert code == error_of(err)["code"] == 1
    assert (compared["gate"], compared["regressions"]) == ("cannot tell", 0)
    assert "--runs" in error_of(err)["hint"]


def test_out_of_memory_says_what_to_lower(monkeypatch: pytest.MonkeyPatch, answer: Ask) -> None:
    def fail(groups: object) -> None:
        raise MemoryError

    monkeypatch.setattr("nnkit.studies.list_.list_components", fail)
    assert refused(answer("list"), 1) == "out of memory"
