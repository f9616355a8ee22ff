from __future__ import annotations

from pathlib import Path

import pytest

from mutation import report, results
from mutation.__main__ import module_name
from mutation.results import Record, Results

SIZES = {"nnkit.config": 40, "nnkit.data.cache": 20, "nnkit.data.bucketing.epoch": 40}
CACHE = "nnkit.data.cache.x_key__mutmut_3"
SAMPLE = Record(
    commit="1234567",
    date="2026-11-21",
    asked=10,
    counts={
        "nnkit.config": {"killed": 3, "survived": 1},
        "nnkit.data.cache": {"killed": 1, "survived": 1},
        "nnkit.data.bucketing.epoch": {"killed": 3, "timeout": 1},
    },
    undetected={"nnkit.config.x_f__mutmut_1": "survived", CACHE: "survived"},
    seed=7,
)
WHOLE = Record(
    commit="abcdef0",
    date="2026-11-22",
    asked=20,
    counts={"nnkit.data.cache": {"killed": 18, "no tests": 2}},
    undetected={"nnkit.data.cache.x_key__mutmut_4": "no tests"},
)
RESULTS = Results(sizes=SIZES, sample=SAMPLE, modules={"nnkit.data.cache": WHOLE})


CHANGE = ["- return key", "+ return None"]


def rows(table: str) -> dict[str, list[str]]:
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line]
    return {row[0]: row[1:] for row in cells}


def test_a_module_that_was_run_whole_stands_with_that_run_and_the_others_with_the_sample() -> None:
    found = rows(report.markdown(RESULTS, {}))
    assert found["data.cache"] == ["20", "20", "18", "0", "90.0 %", "2026-11-22 abcdef0, whole"]
    assert found["data.bucketing.epoch"] == ["40", "4", "4", "1", "100.0 %", "2026-11-21 1234567, sample"]


def test_branch_coverage_stands_beside_the_score_of_each_package() -> None:
    branches = {
        "src/nnkit/config.py": (9, 10),
        "src/nnkit/data/cache.py": (1, 4),
        "src/nnkit/data/bucketing/epoch.py": (4, 4),
        "src/nnkit/cli/main.py": (1, 2),
    }
    found = rows(report.markdown(RESULTS, branches))
    assert found["nnkit"] == ["10", "90.0 %", "4", "75.0 %"]
    assert found["data"] == ["8", "62.5 %", "24", "91.7 %"]
    assert found["cli"] == ["2", "50.0 %", "–", "–"]


def test_the_summary_weighs_modules_by_their_mutants_and_gives_an_interval() -> None:
    line = report.summary(SAMPLE, SIZES)
    assert line.startswith("mutation score 80.0 % (95 % interval ")  # (40 · 3/4 + 20 · 1/2 + 40) / 100
    assert line.endswith(": 7 killed, 2 survived, 1 timeout")


def test_a_run_that_was_stopped_says_what_is_missing() -> None:
    stopped = Record(
        commit="1", date="2026-11-21", asked=5, counts={"nnkit.config": {"killed": 2}}, undetected={}
    )
    assert "stopped, 3 not tried yet" in report.summary(stopped, SIZES)


def test_the_terminal_shows_every_survivor_with_the_lines_that_it_changes() -> None:
    shown = report.text(SAMPLE, SIZES, dict.fromkeys(SAMPLE.undetected, CHANGE))
    assert f"survived: {CACHE}\n    - return key\n    + return None" in shown
    assert shown.count("survived: ") == 2


def test_the_list_of_survivors_prefers_whole_runs_and_stands_by_module() -> None:
    names = report.undetected(RESULTS)
    assert report.undetected_list(names, dict.fromkeys(names, CHANGE)) == (
        "### `nnkit.config`\n\n- `x_f__mutmut_1` (survived): `return key` → `return None`\n\n"
        "### `nnkit.data.cache`\n\n- `x_key__mutmut_4` (no tests): `return key` → `return None`\n"
    )


def test_tables_replace_what_stands_between_the_marks(tmp_path: Path) -> None:
    page = tmp_path / "testing.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.insert(page, "new\n")
    report.insert(page, "new\n")
    assert page.read_text() == f"before\n{report.BEGIN}\n\nnew\n\n{report.END}\nafter\n"
    page.write_text("no marks")
    with pytest.raises(SystemExit, match="has no lines"):
        report.insert(page, "new\n")


def test_results_are_kept_as_they_are(tmp_path: Path) -> None:
    assert results.load(tmp_path / "none.json") == Results()
    results.save(tmp_path / "results.json", RESULTS)
    assert results.load(tmp_path / "results.json") == RESULTS


def test_a_record_counts_what_is_known_of_the_chosen_mutants() -> None:
    chosen = {"nnkit.a": ["nnkit.a.x_f__mutmut_1", "nnkit.a.x_f__mutmut_2", "nnkit.a.x_f__mutmut_3"]}
    verdicts = {
        "nnkit.a.x_f__mutmut_1": "killed",
        "nnkit.a.x_f__mutmut_2": None,
        "nnkit.a.x_f__mutmut_3": "survived",
        "nnkit.a.x_f__mutmut_4": "survived",
    }
    found = results.record(chosen, verdicts, seed=1)
    assert found.counts == {"nnkit.a": {"killed": 1, "survived": 1}}
    assert found.undetected == {"nnkit.a.x_f__mutmut_3": "survived"}
    assert not found.is_complete


@pytest.mark.parametrize(
    "given",
    ["data/cache", "data.cache", "nnkit.data.cache", "nnkit/data/cache.py", "src/nnkit/data/cache.py"],
)
def test_a_module_is_named_as_people_write_it(given: str) -> None:
    assert module_name(given, {"nnkit.data.cache": []}) == "nnkit.data.cache"


def test_an_unknown_module_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SystemExit, match=r"nnkit\.data\.cache"):
        module_name("data/cash", {"nnkit.data.cache": []})
