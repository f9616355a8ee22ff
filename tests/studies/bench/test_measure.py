"""`bench compare --runs`: both sides measured anew, in turn, each run in a process of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nnkit.cli.main import run
from nnkit.errors import ConfigError, NnkitError, UsageError
from nnkit.results.bench_compare import BenchCompareResult
from nnkit.runs.directory import RunDirectory
from nnkit.studies.bench.compare import bench_compare
from nnkit.studies.bench.measure import Plan, measure

Python = Callable[..., Path]


@pytest.fixture
def python(tmp_path: Path) -> Python:
    """Makes interpreters that write down what they are told, and end with a code and a last line."""

    def make(name: str, code: int = 0, says: str = "") -> Path:
        path = tmp_path / f"python-{name}"
        log = tmp_path / "log"
        body = f"open({str(log)!r}, 'a').write(json.dumps([{name!r}, *sys.argv[1:]]) + '\\n')"
        path.write_text(
            f"#!{sys.executable}\nimport json, sys\n{body}\nsys.stderr.write({says!r})\nsys.exit({code})\n"
        )
        path.chmod(0o755)
        return path

    return make


def plan(name: str, tmp_path: Path, interpreter: Path) -> Plan:
    config = tmp_path / f"{name}.toml"
    config.write_text("limit = 8\n")
    return Plan.of(name, config, interpreter)


def test_the_sides_take_turns_and_each_run_has_a_folder_of_its_own(tmp_path: Path, python: Python) -> None:
    told: list[tuple[int, int]] = []
    a, b = plan("a", tmp_path, python("a")), plan("b", tmp_path, python("b", code=3))  # 3: cells failed
    runs = measure(
        a, b, num_runs=3, runs_dir=tmp_path / "runs", watch=lambda done, total: told.append((done, total))
    )
    calls = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [name for name, *_ in calls] == ["a", "b"] * 3
    outs = [words[words.index("--out") + 1] for words in calls]
    assert outs == [str(path) for pair in zip(*runs, strict=True) for path in pair]
    assert len(set(outs)) == 6
    assert {Path(out).parent for out in outs} == {tmp_path / "runs" / "bench"}
    for name, *words in calls:
        assert words[:5] == ["-m", "nnkit", "bench", "--config", str(tmp_path / f"{name}.toml")]
    assert told == [(done, 6) for done in range(1, 7)]


@pytest.mark.parametrize(
    ("code", "says", "kind", "message"),
    [
        (1, '{"error": {"code": 1, "message": "no such set", "hint": "get it"}}', NnkitError, "no such set"),
        (2, 'x\n{"error": {"code": 2, "message": "bad", "hint": ""}}', UsageError, "bad"),
        (1, "No module named nnkit", NnkitError, "ended with code 1: No module named nnkit"),
        (9, "", NnkitError, "ended with code 9: without a word"),
        (1, "[1]", NnkitError, "ended with code 1"),
    ],
)
def test_a_run_that_fails_ends_the_comparison_with_its_own_error(
    code: int, says: str, kind: type[NnkitError], message: str, tmp_path: Path, python: Python
) -> None:
    a, b = plan("a", tmp_path, python("a")), plan("b", tmp_path, python("b", code, says))
    with pytest.raises(NnkitError, match=r"run .*-b1: ") as caught:
        measure(a, b, num_runs=2, runs_dir=tmp_path)
    assert type(caught.value) is kind
    assert message in caught.value.message
    assert len((tmp_path / "log").read_text().splitlines()) == 2


def test_options_come_from_a_file_a_run_or_a_file_beside_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    config = RunDirectory(folder).config_path
    config.write_text("repeats = 5\n")
    for given in (folder, folder / "bench.json", config):
        assert Plan.of("a", given, None) == Plan("a", config, sys.executable)


def test_what_cannot_be_measured_is_refused_before_anything_runs(tmp_path: Path, python: Python) -> None:
    for given in (tmp_path, tmp_path / "none.toml", tmp_path / "none"):
        with pytest.raises(UsageError, match="no options to measure with"):
            Plan.of("a", given, None)
    config = tmp_path / "wrong.toml"
    config.write_text("epochs = 5\n")
    with pytest.raises(ConfigError, match="epochs"):
        Plan.of("a", config, None)
    assert Plan.of("a", config, python("a")).config == config  # what another version reads is for it to say
    with pytest.raises(UsageError, match="--python-b"):
        Plan.of("b", config, tmp_path / "no-python")


def test_an_interpreter_without_runs_and_options_without_runs_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "a.toml"
    config.write_text("limit = 8\n")
    words = ["bench", "compare", str(config), str(config)]
    assert run([*words, "--python-b", sys.executable]) == 2
    assert "python_b is for what --runs measures" in capsys.readouterr().err
    assert run(words) == 2
    assert "add --runs" in capsys.readouterr().err
    assert run([*words, "--runs", "1"]) == 2
    assert "runs" in capsys.readouterr().err


@pytest.mark.slow
def test_two_runs_a_side_are_measured_and_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real command: four processes, the second side's by an interpreter of its own."""
    monkeypatch.setenv("NNKIT_PLUGINS", "")
    config, other = tmp_path / "tiny.toml", tmp_path / "python"
    config.write_text("limit = 3\nrepeats = 3\nthreads = 1\nbatch_size = [3]\n")
    other.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/used\nexec {sys.executable} "$@"\n')
    other.chmod(0o755)
    words = ["bench", "compare", str(config), str(config), "--runs", "2", "--python-b", str(other)]
    code = run([*words, "--runs-dir", str(tmp_path / "runs"), "--fail-above", "50%", "--json"])
    out, err = capsys.readouterr()
    document: dict[str, Any] = json.loads(out)
    assert code in (0, 1, 4), err
    assert code == {"passed": 0, "cannot tell": 1, "failed": 4}[document["gate"]]
    runs = document["runs_a"], document["runs_b"]
    assert [len(side) for side in runs] == [2, 2]
    assert all(RunDirectory(Path(path)).state() == "finished" for side in runs for path in side)
    assert len((tmp_path / "used").read_text().splitlines()) == 2
    assert {(cell["num_runs_a"], cell["num_runs_b"]) for cell in document["cells"]} == {(2, 2)}
    assert "nnkit: run 4 of 4" in err
    # What was measured compares again without measuring.
    sides = [Path(",".join(side)) for side in runs]
    again = bench_compare(sides[0], sides[1], fail_above=0.5)
    assert again.cells == BenchCompareResult.model_validate(document).cells
