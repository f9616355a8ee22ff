"""Verdicts and resumption on a copy that looks like mutmut's; no mutant is tried here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mutation import engine

A, B, C = (f"nnkit.a.x_f__mutmut_{i}" for i in (1, 2, 3))
OTHER = "nnkit.b.x_g__mutmut_1"


@pytest.fixture(autouse=True)
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy with two modules: `a` was tried but for its third mutant, `b` was not."""
    monkeypatch.chdir(tmp_path)
    write("a", {A: 1, B: 0, C: None})
    write("b", {OTHER: None})
    return tmp_path / "mutants"


def write(module: str, codes: dict[str, int | None]) -> None:
    path = Path("mutants/src/nnkit") / f"{module}.py.meta"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"exit_code_by_key": codes, "durations_by_key": {}}))
    path.with_suffix("").write_text("")


def codes(module: str) -> dict[str, int | None]:
    path = Path("mutants/src/nnkit") / f"{module}.py.meta"
    return dict(json.loads(path.read_text())["exit_code_by_key"])


def to_try() -> set[str]:
    """What mutmut tries when it is run without names: mutants whose exit code is null."""
    return {name for module in ("a", "b") for name, code in codes(module).items() if code is None}


def test_only_chosen_mutants_without_a_verdict_are_tried() -> None:
    engine.choose([A, C])
    assert to_try() == {C}
    assert codes("a") == {A: 1, B: 0, C: None}
    assert codes("b") == {OTHER: engine.SKIPPED}


def test_mutants_that_were_left_out_can_be_chosen_later() -> None:
    engine.choose([A])
    assert to_try() == set()
    engine.choose([B, C, OTHER])
    assert to_try() == {C, OTHER}


def test_mutants_that_were_left_out_have_no_verdict() -> None:
    engine.choose([A])
    assert engine.mutants() == {"nnkit.a": {A: "killed", B: "survived", C: None}, "nnkit.b": {OTHER: None}}


@pytest.mark.parametrize(
    ("exit_code", "verdict"),
    [
        (None, None),
        (2, None),  # interrupted
        (0, "survived"),
        (1, "killed"),
        (3, "killed"),
        (5, "no tests"),
        (33, "no tests"),
        (-24, "timeout"),
        (-9, "timeout"),
        (-11, "crashed"),
        (-6, "crashed"),
        (255, "error"),  # what mutmut counts among the time-outs
        (35, "error"),
    ],
)
def test_an_exit_code_is_a_verdict(exit_code: int | None, verdict: str | None) -> None:
    assert engine.verdict(exit_code) == verdict


def test_a_file_that_was_torn_by_a_kill_is_made_again(copy: Path) -> None:
    meta = copy / "src/nnkit/a.py.meta"
    meta.write_text(meta.read_text()[:40])
    engine.drop_torn_files()
    assert not meta.exists()
    assert not meta.with_suffix("").exists()  # so that mutmut makes its mutants again
    assert codes("b") == {OTHER: None}


def test_what_was_removed_from_the_project_goes_from_the_copy(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "src/nnkit").mkdir(parents=True)
    (tmp_path / "src/nnkit/b.py").write_text("")
    for folder in (tmp_path / "tests", copy / "tests"):
        folder.mkdir()
    (copy / "tests/test_old.py").write_text("def test_old(): assert False")
    engine.drop_what_was_removed()
    assert not (copy / "tests/test_old.py").exists()
    assert [path.name for path in engine.metas()] == ["b.py.meta"]


def test_statistics_forget_the_tests_of_changed_files_alone() -> None:
    stats = {
        "duration_by_test": {"tests/test_a.py::test_1": 1.0, "tests/test_b.py::test_2[x::y]": 2.0},
        "tests_by_mangled_function_name": {
            "nnkit.a.x_f": ["tests/test_a.py::test_1", "tests/test_b.py::test_2[x::y]"]
        },
        "stats_time": 3.0,
    }
    assert engine.without(stats, {"tests/test_b.py"}) == {
        "duration_by_test": {"tests/test_a.py::test_1": 1.0},
        "tests_by_mangled_function_name": {"nnkit.a.x_f": ["tests/test_a.py::test_1"]},
        "stats_time": 3.0,
    }


def test_statistics_count_fixtures_and_keep_what_fits_into_the_budget(copy: Path) -> None:
    near, dear, cheap = "tests/test_a.py::test_1", "tests/test_b.py::test_2", "tests/test_c.py::test_3"
    (copy / engine.SECONDS).write_text(json.dumps({near: 4.0, dear: 50.0, cheap: 2.0, "gone": 1.0}))
    stats = {
        "duration_by_test": {near: 1.0, dear: 0.1, cheap: 0.1},
        "tests_by_mangled_function_name": {"nnkit.a.x_f": [near, dear, cheap]},
    }
    assert engine.cut(stats, budget_s=10) == {
        "duration_by_test": {near: 4.0, dear: 50.0, cheap: 2.0},
        "tests_by_mangled_function_name": {"nnkit.a.x_f": [near, cheap]},
    }


def test_subprocesses_of_tests_import_the_mutated_sources_first(copy: Path) -> None:
    paths = engine.environment()["PYTHONPATH"].split(":")
    assert paths[0] == str(copy / "src")
