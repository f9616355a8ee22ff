"""Two saved benchmarks: how each cell changed, with the noise of both sides, and what passes the gate."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from nnkit.errors import GateError, NnkitError, UsageError
from nnkit.studies.bench.compare import bench_compare, check_gate
from nnkit.studies.bench.grid import Setting

MACHINE = {
    "python": "3.11", "platform": "p", "cpu": "a", "cores": 2, "versions": {}, "command": [], "threads": 2,
    "load_average": None, "gpus": [], "flags": {}, "commit": None,
}  # fmt: skip
MEASURED = (
    "error", "n", "median_s", "iqr_s", "mean_s", "noisy", "outliers", "warm_up_s", "images", "images_per_s",
    "speedup", "ci95", "floor_s", "times_floor",
)  # fmt: skip


def cell_of(setting: Setting, samples: Sequence[float]) -> dict[str, Any]:
    """A cell as bench.json has it, with nothing but its samples known."""
    return {**setting.document(), **dict.fromkeys(MEASURED), "samples_s": list(samples)}


def arm_of(name: str, cells: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": name, "kind": "model", "takes": "", "compiled": False, "copies_timed": False, "note": "",
        "train_s": None, "speedup_geometric_mean": None, "cells": list(cells), "break_even_images": {},
        "fidelity": {"class": None, "max_abs_error": None, "mae_sum": None, "levels": None},
    }  # fmt: skip


def document_of(given: Sequence[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    return {
        "schema": "nnkit.bench/1", "environment": MACHINE, "dataset": "d", "pipeline": "p", "images": 10,
        "loader": "memory", "preset": None, "repeats": 7, "min_effect": 0.02, "seed": 0, "arms": list(given),
        "comparisons": [], "best": None, "break_even_images": None, **changes,
    }  # fmt: skip


def saved(path, times, *, machine=MACHINE, **changes):
    """A benchmark file: reference-loop takes 1 s, each arm its factor of it, with 1 % of noise."""
    rng = np.random.default_rng(len(path.name))
    loop = 1 + 0.1 * rng.random(20)
    arms = [arm_of("reference-loop", [cell_of(Setting(), loop.tolist())])]
    for name, factor in times.items():
        samples = (factor * loop * (1 + 0.01 * rng.standard_normal(20))).tolist()
        arms.append(arm_of(name, [cell_of(Setting(batch_size=64), samples)]))
    path.write_text(json.dumps(document_of(arms, **{"environment": machine, **changes})))
    return path


NOISY = [0.9, 0.96, 0.98, 1.0, 1.03, 1.05, 1.2]
"""The bootstrapped median of seven values lies from the second to the sixth in 95 of 100."""


def measured(
    path: Path, arms: Mapping[str, Sequence[float]], *, loop: Sequence[float] = (1.0,) * 7, **changes: Any
) -> Path:
    """A benchmark file with these samples, seven rounds unless told otherwise."""
    cells = {"reference-loop": cell_of(Setting(), loop)}
    cells |= {name: cell_of(Setting(batch_size=64), values) for name, values in arms.items()}
    document = document_of([arm_of(name, [cell]) for name, cell in cells.items()], **changes)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def only_cell(a: Path, b: Path, **options: Any) -> dict[str, Any]:
    (cell,) = bench_compare(a, b, **options).document()["cells"]
    return cell


def test_the_change_is_bs_median_over_as_each_round_in_units_of_the_loop(tmp_path: Path) -> None:
    # In units of the loop: a is 2, 4, 3 and b is 6, 6, 9; the second file's machine was twice as slow.
    a = measured(tmp_path / "a", {"net": [2.0, 8.0, 3.0]}, loop=[1.0, 2.0, 1.0])
    b = measured(tmp_path / "b", {"net": [12.0, 24.0, 18.0]}, loop=[2.0, 4.0, 2.0])
    assert only_cell(a, b)["change"] == pytest.approx(2)
    assert only_cell(b, a)["change"] == pytest.approx(0.5)


def test_the_noise_of_either_side_widens_the_interval(tmp_path: Path) -> None:
    still, noisy = ([2.0] * 7, [4 * value for value in NOISY])
    a, b = measured(tmp_path / "a", {"net": still}), measured(tmp_path / "b", {"net": noisy})
    # Against a side without noise, the interval of the other's median, and its inverse.
    assert only_cell(a, b)["ci95"] == pytest.approx([2 * NOISY[1], 2 * NOISY[5]])
    assert only_cell(b, a)["ci95"] == pytest.approx([1 / (2 * NOISY[5]), 1 / (2 * NOISY[1])])
    assert only_cell(a, a) == {
        "arm": "net",
        **Setting(batch_size=64).document(),
        "change": 1,
        "ci95": [1, 1],
        "verdict": "no difference",
        "regression": False,
    }


def test_the_interval_of_two_noisy_sides_is_scipys_of_independent_samples(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    first, second = 1 + rng.exponential(0.1, 25), 1.3 + rng.exponential(0.2, 25)
    files = [
        measured(tmp_path / name, {"net": values}, loop=[1.0] * 25)
        for name, values in (("a", first), ("b", second))
    ]
    found = only_cell(*files)
    theirs = scipy.stats.bootstrap(
        (second, first), lambda b, a, axis=-1: np.median(b, axis=axis) / np.median(a, axis=axis),
        method="percentile", n_resamples=5000, vectorized=True, rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    assert found["change"] == pytest.approx(np.median(second) / np.median(first))
    # Two draws of thousands of resamples: the ends agree to a few hundredths of the interval.
    assert found["ci95"] == pytest.approx([theirs.low, theirs.high], abs=0.06 * (theirs.high - theirs.low))
    assert only_cell(*files, seed=1)["ci95"] != found["ci95"]
    assert only_cell(*files, seed=0) == found
    # The sides are drawn apart: a file against itself has an interval around one, not one alone.
    low, high = only_cell(files[0], files[0])["ci95"]
    assert low < 1 < high


def test_a_regression_needs_the_whole_interval_beyond_the_gate(tmp_path: Path) -> None:
    a = measured(tmp_path / "a", {"net": [1.0] * 7})
    b = measured(tmp_path / "b", {"net": [1.25 * value for value in NOISY]})
    # 1.25 times as long, 95 % from 1.2 to 1.3125.
    assert only_cell(a, b)["ci95"] == pytest.approx([1.2, 1.3125])
    for fail_above, fails in ((0.15, True), (0.22, False), (0.3, False), (0.0, True), (None, False)):
        result = bench_compare(a, b, fail_above=fail_above)
        assert result.cells[0].regression is fails
        assert result.regressions == int(fails)
        assert result.fail_above == fail_above
        assert result.cells[0].verdict == "slower"
        if fails:
            with pytest.raises(GateError):
                check_gate(result)
        else:
            check_gate(result)


def test_an_interval_that_ends_at_the_gate_passes(tmp_path: Path) -> None:
    a, b = (measured(tmp_path / str(s), {"net": [s] * 7}) for s in (1.0, 1.5))
    assert only_cell(a, b, fail_above=0.5)["regression"] is False
    assert only_cell(a, b, fail_above=0.499)["regression"] is True


def test_what_is_faster_or_slower_by_less_than_two_percent_is_no_difference(tmp_path: Path) -> None:
    def said(factor: float, **options: float) -> str:
        files = [measured(tmp_path / name, {"net": [s] * 7}) for name, s in (("a", 1.0), ("b", factor))]
        verdict: str = only_cell(*files, **options)["verdict"]
        return verdict

    assert [said(factor) for factor in (0.5, 0.97, 0.99, 1.0, 1.015, 1.03, 2)] == [
        "faster", "faster", "no difference", "no difference", "no difference", "slower", "slower",
    ]  # fmt: skip
    assert said(1.015, min_effect=0.01) == "slower"
    assert said(1.5, min_effect=0.6) == "no difference"


@pytest.mark.parametrize(
    ("key", "other", "same"),
    [
        ("cpu", "b", False),
        ("cores", 4, False),
        ("threads", 1, False),
        ("gpus", ["H200"], False),
        ("load_average", [3.0], True),
        ("commit", "abc", True),
    ],
)
def test_a_machine_is_its_processor_cores_threads_and_gpus(
    tmp_path: Path, key: str, other: object, same: bool
) -> None:
    a = measured(tmp_path / "a", {"net": [1.0] * 7})
    b = measured(tmp_path / "b", {"net": [2.0] * 7}, environment={**MACHINE, key: other})
    result = bench_compare(a, b, fail_above=0.1)
    assert result.same_machine is same
    assert result.differences == (() if same else (f"{key}: {MACHINE[key]} and {other}",))
    assert result.cells[0].verdict == ("slower" if same else "different machine")
    assert result.cells[0].regression is same
    assert result.regressions == int(same)


def test_every_cell_but_the_loop_is_compared_at_its_own_setting(tmp_path: Path) -> None:
    def file(name: str, seconds: Mapping[int, float]) -> Path:
        path = measured(tmp_path / name, {})
        document = json.loads(path.read_text())
        cells = [cell_of(Setting(batch_size=size), [s] * 7) for size, s in seconds.items()]
        document["arms"].append(arm_of("net", cells))
        path.write_text(json.dumps(document))
        return path

    result = bench_compare(file("a", {1: 1.0, 2: 2.0, 4: 5.0}), file("b", {4: 10.0, 2: 2.0, 8: 1.0}))
    assert [(cell.arm, cell.batch_size, cell.change) for cell in result.cells] == [
        ("net", 2, 1),
        ("net", 4, 2),
    ]
    others = "num_workers=0, shuffle=False, drop_last=False, pin_memory=False"
    assert result.only_in_a == (f"net at device=cpu, batch_size=1, {others}",)
    assert result.only_in_b == (f"net at device=cpu, batch_size=8, {others}",)
    assert (result.a, result.b) == (tmp_path / "a", tmp_path / "b")


def test_a_folder_stands_for_its_summary(tmp_path: Path) -> None:
    a = measured(tmp_path / "one" / "summary.json", {"net": [1.0] * 7})
    b = measured(tmp_path / "two" / "summary.json", {"net": [2.0] * 7})
    assert only_cell(a.parent, b)["change"] == 2
    assert only_cell(a, b.parent)["change"] == 2


def test_the_gate_names_the_worst_of_the_regressions(tmp_path: Path) -> None:
    a = measured(tmp_path / "a", {"x": [1.0] * 7, "y": [1.0] * 7, "z": [1.0] * 7})
    b = measured(tmp_path / "b", {"x": [2.0] * 7, "y": [3.0] * 7, "z": [1.0] * 7})
    result = bench_compare(a, b, fail_above=0.1)
    assert result.regressions == 2
    with pytest.raises(GateError, match=r"2 of 3 cells are slower .* 10\.0%; the worst, y, takes 3\.000"):
        check_gate(result)


@pytest.mark.parametrize("fail_above", [-0.01, 100, float("nan")])
def test_a_gate_is_a_share_from_0_to_100(tmp_path: Path, fail_above: float) -> None:
    a = measured(tmp_path / "a", {"net": [1.0] * 7})
    with pytest.raises(UsageError, match="fail_above"):
        bench_compare(a, a, fail_above=fail_above)
    for allowed in (0, 99.9):
        assert bench_compare(a, a, fail_above=allowed).fail_above == allowed


@pytest.mark.parametrize("name", ["dataset", "pipeline", "images", "loader"])
def test_benchmarks_of_other_images_do_not_compare(tmp_path: Path, name: str) -> None:
    a = measured(tmp_path / "a", {"net": [1.0] * 7})
    b = measured(tmp_path / "b", {"net": [1.0] * 7}, **{name: 7 if name == "images" else "other"})
    with pytest.raises(UsageError, match=f"different {name}: "):
        bench_compare(a, b)


def test_benchmarks_without_a_cell_in_common_do_not_compare(tmp_path: Path) -> None:
    files = [measured(tmp_path / name, {name: [1.0] * 7}) for name in "ab"]
    with pytest.raises(UsageError, match="no cell in common"):
        bench_compare(*files)


def test_a_file_with_a_cell_twice_without_a_loop_or_of_another_schema_is_damaged(tmp_path: Path) -> None:
    a = measured(tmp_path / "a", {"net": [1.0] * 7})
    document = json.loads(a.read_text())
    loop, net = document["arms"]
    wrongs = [
        ({**document, "arms": [loop, net, net]}, "has net at .* twice"),
        ({**document, "arms": [net]}, "not every cell has a time for each of its rounds"),
        ({**document, "schema": "nnkit.bench/2"}, "schema is not 'nnkit.bench/1'"),
        ({**document, "arms": [loop, {**net, "cells": [{**net["cells"][0], "shuffle": 1}]}]}, "shuffle"),
        ({**document, "images": "10"}, "images"),
    ]
    for wrong, said in wrongs:
        (tmp_path / "wrong").write_text(json.dumps(wrong))
        with pytest.raises(UsageError, match=said):
            bench_compare(a, tmp_path / "wrong")


def test_a_slower_cell_is_a_regression_beyond_the_gate_and_only_there(tmp_path):
    a = saved(tmp_path / "a.json", {"net": 0.1, "other": 0.2})
    b = saved(tmp_path / "bb.json", {"net": 0.12, "other": 0.2})
    result = bench_compare(a, b, fail_above=0.1)
    at = {cell.arm: cell for cell in result.cells}
    assert at["net"]["change"] == pytest.approx(1.2, rel=0.02)
    assert (at["net"]["verdict"], at["net"]["regression"]) == ("slower", True)
    assert (at["other"]["verdict"], at["other"]["regression"]) == ("no difference", False)
    with pytest.raises(GateError, match=r"net, takes 1\.(19|20|21)") as caught:
        check_gate(result)
    assert caught.value.exit_code == 4
    check_gate(bench_compare(a, b, fail_above=0.5))
    check_gate(bench_compare(a, b))


def test_a_slower_machine_is_no_regression(tmp_path):
    a = saved(tmp_path / "a.json", {"net": 0.1})
    document = json.loads(a.read_text())
    for arm in document["arms"]:
        arm["cells"][0]["samples_s"] = [3 * value for value in arm["cells"][0]["samples_s"]]
    b = tmp_path / "b.json"
    b.write_text(json.dumps(document))
    result = bench_compare(a, b, fail_above=0.05)
    assert result.regressions == 0
    check_gate(result)


def test_another_machine_has_no_verdict_and_the_gate_cannot_judge(tmp_path):
    a = saved(tmp_path / "a.json", {"net": 0.1})
    b = saved(tmp_path / "b.json", {"net": 0.2}, machine={**MACHINE, "cpu": "b"})
    result = bench_compare(a, b, fail_above=0.05)
    assert not result.same_machine
    assert [cell.verdict for cell in result.cells] == ["different machine"]
    with pytest.raises(NnkitError, match="different machine") as caught:
        check_gate(result)
    assert caught.value.exit_code == 1


def test_cells_of_one_file_alone_are_named(tmp_path):
    a = saved(tmp_path / "a.json", {"net": 0.1, "old": 1})
    b = saved(tmp_path / "b.json", {"net": 0.1, "new": 1})
    result = bench_compare(a, b)
    assert "old" in result.only_in_a[0]
    assert "new" in result.only_in_b[0]


def test_files_that_are_no_benchmarks_or_of_other_images_are_refused(tmp_path):
    a = saved(tmp_path / "a.json", {"net": 0.1})
    other = saved(tmp_path / "other.json", {"net": 0.1}, images=11)
    (tmp_path / "text").write_text("{")
    (tmp_path / "list").write_text("[]")
    broken = saved(tmp_path / "broken.json", {"net": 0.1}, arms=[{"name": "x"}])
    for wrong in (tmp_path / "none.json", tmp_path / "text", tmp_path / "list", other, broken, tmp_path):
        with pytest.raises(UsageError):
            bench_compare(a, wrong)
    with pytest.raises(UsageError, match="fail_above"):
        bench_compare(a, a, fail_above=-1)


@pytest.mark.parametrize(
    "samples",
    [
        [0.0] * 20,
        [-1.0] * 20,
        [float("nan")] * 20,
        [None] * 20,
        5.0,
        "0.1",
        [[0.1]] * 20,
        [0.1],
        ["0.1"] * 20,
    ],
)
def test_samples_that_are_no_times_are_refused_with_the_file(tmp_path, samples):
    a = saved(tmp_path / "a.json", {"net": 0.1})
    document = json.loads(a.read_text())
    document["arms"][1]["cells"][0]["samples_s"] = samples
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps(document))
    with pytest.raises(UsageError, match=r"wrong\.json is damaged"):
        bench_compare(a, wrong)


@pytest.mark.parametrize("key", ["environment", "dataset", "arms", "images"])
def test_a_file_without_a_key_or_with_a_wrong_one_is_refused(tmp_path, key):
    a = saved(tmp_path / "a.json", {"net": 0.1})
    document = json.loads(a.read_text())
    for changed in ({**document, key: [1]}, {name: value for name, value in document.items() if name != key}):
        wrong = tmp_path / "wrong.json"
        wrong.write_text(json.dumps(changed))
        with pytest.raises(UsageError, match="damaged"):
            bench_compare(a, wrong)


def test_the_gate_cannot_judge_a_cell_that_b_lacks(tmp_path):
    a = saved(tmp_path / "a.json", {"net": 0.1, "other": 0.2})
    document = json.loads(a.read_text())
    document["arms"][2]["cells"][0]["samples_s"] = None
    b = tmp_path / "b.json"
    b.write_text(json.dumps(document))
    with pytest.raises(NnkitError, match="other at device=cpu") as caught:
        check_gate(bench_compare(a, b, fail_above=0.5))
    assert caught.value.exit_code == 1
    check_gate(bench_compare(a, b))


@pytest.mark.parametrize("num", [9, 15, 21])
def test_the_interval_is_from_2_5_to_97_5_percent(tmp_path: Path, num: int) -> None:
    # Against a side without noise, the ends are values whose place is known without drawing.
    values = [1 + 0.01 * place for place in range(num)]
    a = measured(tmp_path / "a", {"net": [1.0] * num}, loop=[1.0] * num)
    b = measured(tmp_path / "b", {"net": values}, loop=[1.0] * num)
    # Where a value stands too near an end for 2,000 resamples to tell, nothing is claimed.
    at_most = [scipy.stats.binom.sf(num // 2, num, place / num) for place in range(1, num + 1)]
    if min(abs(share - end) for share in at_most for end in (0.025, 0.975)) > 0.003:
        ends = [values[int(np.searchsorted(at_most, share))] for share in (0.025, 0.975)]
        assert only_cell(a, b)["ci95"] == pytest.approx(ends)
