"""Verdicts and resumption on a copy that looks like mutmut's; no mutant is tried here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mutation import engine, plugin

A, B, C = (f"nnkit.a.x_f__mutmut_{i}" for i in (1, 2, 3))
OTHER = "nnkit.data.x_g__mutmut_1"


@pytest.fixture(autouse=True)
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy with two modules, in which no mutant was tried."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "mutants/src/nnkit"
    (folder / "data").mkdir(parents=True)
    write(folder / "a.py", {A: None, B: None, C: None})
    write(folder / "data/__init__.py", {OTHER: None})
    return tmp_path / "mutants"


def write(path: Path, codes: dict[str, int | None]) -> None:
    path.write_text("")
    path.with_name(f"{path.name}.meta").write_text(
        json.dumps({"exit_code_by_key": codes, "durations_by_key": {}})
    )
    functions = [name.split(".")[-1] for name in codes]
    spans = {name: [1, 2] for name in [f"{functions[0][:-1]}orig", *functions]}
    path.with_name(f"{path.name}.spans").write_text(json.dumps({"version": 1, "spans": spans}))


def codes() -> dict[str, int | None]:
    """The mutants that mutmut would go through, with what it found."""
    return {
        name: code
        for path in engine.metas()
        for name, code in json.loads(path.read_text())["exit_code_by_key"].items()
    }


def to_try() -> set[str]:
    """What mutmut tries when it is run without names: mutants whose exit code is null."""
    return {name for name, code in codes().items() if code is None}


def found(name: str, exit_code: int) -> None:
    """What mutmut does after a mutant was tried."""
    for path in engine.metas():
        meta = json.loads(path.read_text())
        if name in meta["exit_code_by_key"]:
            meta["exit_code_by_key"][name] = exit_code
            path.write_text(json.dumps(meta))


def test_all_mutants_are_known_by_module_though_only_some_are_chosen() -> None:
    engine.choose([A])
    assert engine.mutants() == {"nnkit.a": [A, B, C], "nnkit.data": [OTHER]}


def test_only_chosen_mutants_are_tried() -> None:
    engine.choose([A, OTHER])
    assert to_try() == {A, OTHER}
    assert set(codes()) == {A, OTHER}


def test_a_run_that_was_stopped_goes_on_with_what_was_not_tried() -> None:
    engine.choose([A, B, C])
    found(A, 1)
    found(B, 2)  # interrupted
    engine.choose([A, B, C])
    assert to_try() == {B, C}
    assert engine.verdicts() == {A: "killed"}


def test_a_verdict_is_kept_while_other_mutants_are_tried_and_used_again() -> None:
    engine.choose([A])
    found(A, 0)
    engine.choose([OTHER])
    assert set(codes()) == {OTHER}
    found(OTHER, 1)
    assert engine.verdicts() == {A: "survived", OTHER: "killed"}
    engine.choose([A, B])
    assert to_try() == {B}


def test_what_survived_or_hung_can_be_tried_again() -> None:
    engine.choose([A, B, C, OTHER])
    for name, exit_code in ((A, 1), (B, 0), (C, 0), (OTHER, -24)):
        found(name, exit_code)
    engine.choose([A, B, OTHER], again=True)
    assert to_try() == {B, OTHER}
    assert engine.verdicts() == {A: "killed", C: "survived"}


def record(mutant: str, killer: str | None) -> str:
    return json.dumps({"mutant": mutant, "killer": killer}) + "\n"


@pytest.mark.parametrize(
    ("changed", "kept"),
    [
        (None, {A, B}),
        ("src/nnkit/a.py", set()),
        ("tests/test_a.py", {B}),
        ("tests/test_b.py", {A}),
        ("tests/test_c.py", {A, B}),
    ],
)
def test_a_mutant_stays_killed_while_its_module_and_its_killer_are_unchanged(
    copy: Path, tmp_path: Path, changed: str | None, kept: set[str]
) -> None:
    files = ["src/nnkit/a.py", "src/nnkit/data/__init__.py", *(f"tests/test_{name}.py" for name in "abc")]
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(file)
    engine.forget()
    engine.choose([A, B, C, OTHER])
    for name, exit_code in ((A, 1), (B, 1), (C, 0), (OTHER, -24)):
        found(name, exit_code)
    killers = {A: "tests/test_a.py::test_x[y]", B: "collecting tests/test_b.py", C: None, OTHER: None}
    (copy / plugin.LOG).write_text("".join(record(name, killer) for name, killer in killers.items()))
    if changed is not None:
        (tmp_path / changed).write_text("changed")
    engine.forget()
    assert engine.verdicts() == dict.fromkeys(kept, "killed")
    assert {each["mutant"] for each in engine.tried()} == kept
    engine.choose([A, B, C])
    assert to_try() == {A, B, C} - kept


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
    assert codes() == {OTHER: None}


def test_what_was_removed_from_the_project_goes_from_the_copy(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "src/nnkit/data").mkdir(parents=True)
    (tmp_path / "src/nnkit/data/__init__.py").write_text("")
    for folder in (tmp_path / "tests", copy / "tests"):
        folder.mkdir()
    (copy / "tests/test_old.py").write_text("def test_old(): assert False")
    engine.drop_what_was_removed()
    assert not (copy / "tests/test_old.py").exists()
    assert engine.mutants() == {"nnkit.data": [OTHER]}


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
    (copy / plugin.SECONDS).write_text(json.dumps({near: 4.0, dear: 50.0, cheap: 2.0, "gone": 1.0}))
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
