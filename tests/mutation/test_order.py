from __future__ import annotations

import pytest

from mutation import order

OWN = "tests/data/test_cache.py::test_own"
SIBLING = "tests/data/test_splits.py::test_sibling"
FAR = "tests/studies/test_train.py::test_far"
FAR_TOO = "tests/test_config.py::test_far_too"


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("nnkit.data.cache.x_key__mutmut_3", "nnkit.data.cache"),
        ("nnkit.data.bucketing.xǁBucketǁ__init____mutmut_12", "nnkit.data.bucketing"),
        ("nnkit.config.x__merge", "nnkit.config"),
    ],
)
def test_a_mutant_belongs_to_the_module_before_its_function(name: str, module: str) -> None:
    assert order.module_of(name) == module


@pytest.mark.parametrize(
    ("test", "module", "distance"),
    [
        (OWN, "nnkit.data.cache", 0),
        (SIBLING, "nnkit.data.cache", 1),
        (FAR, "nnkit.data.cache", 2),
        ("tests/models/test_band.py::test_it", "nnkit.models._band", 0),
        ("tests/data/bucketing/test_buckets.py::test_it", "nnkit.data.bucketing", 0),
        ("tests/data/bucketing/test_epoch.py::test_it", "nnkit.data.cache", 2),
        (FAR_TOO, "nnkit.config", 0),
        (FAR_TOO, "nnkit.schema", 2),
        (OWN, "", 2),
        ("tests/oracle/test_order.py::test_it", "nnkit.training.loop", 1),
        ("tests/oracle/test_order.py::test_it", "nnkit.config", 2),
    ],
)
def test_tests_are_near_where_the_tree_mirrors_the_module(test: str, module: str, distance: int) -> None:
    assert order.distance(test, module) == distance


def test_near_tests_run_first_then_cheap_files() -> None:
    seconds = {OWN: 9.0, SIBLING: 5.0, FAR: 2.0, FAR_TOO: 1.0}
    assert order.ordered([FAR, FAR_TOO, SIBLING, OWN], "nnkit.data.cache", seconds) == [
        OWN,
        SIBLING,
        FAR_TOO,
        FAR,
    ]


def test_the_tests_of_one_file_stay_together_so_that_its_fixtures_are_made_once() -> None:
    tests = [f"tests/{file}.py::test_{i}" for i in range(3) for file in ("test_a", "test_b")]
    seconds = {test: float(i) for i, test in enumerate(tests)}
    files = [test.split("::")[0] for test in order.ordered(tests, "nnkit.x", seconds)]
    assert files == ["tests/test_a.py"] * 3 + ["tests/test_b.py"] * 3


def test_the_budget_holds_for_near_and_for_far_tests_and_never_for_own_ones() -> None:
    seconds = {OWN: 60.0, SIBLING: 4.0, FAR: 2.0, f"{FAR}_2": 6.0, FAR_TOO: 1.0}

    def chosen(budget_s: float) -> set[str]:
        return set(order.within_budget(seconds, "nnkit.data.cache", seconds, budget_s=budget_s))

    assert chosen(0) == {OWN}
    assert chosen(3) == {OWN, FAR, FAR_TOO}
    assert chosen(4) == {OWN, SIBLING, FAR, FAR_TOO}
    assert chosen(9) == set(seconds)


def test_every_file_gives_its_cheapest_test_before_any_gives_a_second() -> None:
    seconds = {"tests/test_a.py::a": 1.0, "tests/test_a.py::b": 1.1, "tests/test_b.py::c": 5.0}
    assert order.within_budget(seconds, "nnkit.x", seconds, budget_s=6.1) == [
        "tests/test_a.py::a",
        "tests/test_b.py::c",
    ]
