"""Saved benchmarks: how each cell changed, with the spread of rounds or of runs, and what passes the gate."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from nnkit.errors import GateError, NnkitError, UsageError
from nnkit.results.bench import BenchResult
from nnkit.studies.bench.compare import Side, bench_compare, check_gate, compare_sides
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


def several(folder: Path, *runs: Mapping[str, float], **changes: Any) -> Path:
    """A folder of runs whose arms have these times in all seven rounds."""
    folder.mkdir()
    for at, arms in enumerate(runs):
        measured(folder / str(at) / "summary.json", {k: [v] * 7 for k, v in arms.items()}, **changes)
    return folder


def of_net(folder: Path, times: Sequence[float], **changes: Any) -> Path:
    """A folder of runs with one network."""
    return several(folder, *({"net": time} for time in times), **changes)


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
        "gate": None,
        "num_runs_a": 1,
        "num_runs_b": 1,
        "smallest_visible_change": None,
        "p_holm": None,
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


# Several runs a side.

BEFORE, AFTER = [1.0, 1.02, 0.99, 1.01], [1.24, 1.27, 1.25]


def students(a: Sequence[float], b: Sequence[float], limit: float = 0.0) -> Any:
    """SciPy's t-test, with equal variances, of the logarithms of times."""
    return scipy.stats.ttest_ind(np.log(b) - np.log1p(limit), np.log(a), alternative="greater")


def test_of_several_runs_the_interval_is_students_t_of_their_medians_logarithms(tmp_path: Path) -> None:
    a, b = of_net(tmp_path / "a", BEFORE), of_net(tmp_path / "b", AFTER)
    result = bench_compare(a, b)
    (cell,) = result.cells
    interval = scipy.stats.ttest_ind(np.log(AFTER), np.log(BEFORE)).confidence_interval(0.95)
    assert cell.change == pytest.approx(math.exp(np.mean(np.log(AFTER)) - np.mean(np.log(BEFORE))))
    assert cell.ci95 == pytest.approx((math.exp(interval.low), math.exp(interval.high)))
    assert cell.smallest_visible_change == pytest.approx(math.exp((interval.high - interval.low) / 2) - 1)
    assert (cell.num_runs_a, cell.num_runs_b, cell.verdict) == (4, 3, "slower")
    assert (result.between_runs, result.gate, result.smallest_visible_change) == (
        True, None, cell.smallest_visible_change,
    )  # fmt: skip
    assert [path.parent for path in (*result.runs_a, *result.runs_b)] == [a] * 4 + [b] * 3


def test_a_run_counts_by_its_median_in_units_of_the_loop_in_the_same_rounds(tmp_path: Path) -> None:
    for at, machine in enumerate((1.0, 3.0)):  # the second run was on a slow day
        folder = tmp_path / "a" / str(at) / "summary.json"
        folder.parent.parent.mkdir(exist_ok=True)
        measured(folder, {"net": [machine * v for v in NOISY]}, loop=[machine] * 7)
    b = of_net(tmp_path / "b", [2.0, 2.0])
    cell = bench_compare(tmp_path / "a", b).cells[0]
    assert cell.change == pytest.approx(2 / NOISY[3])
    assert cell.ci95 == pytest.approx((2, 2))


def test_one_run_against_several_has_the_spread_of_the_several(tmp_path: Path) -> None:
    a, b = of_net(tmp_path / "a", BEFORE), of_net(tmp_path / "b", [1.25])
    result = bench_compare(a, b, fail_above=0.1)
    half = scipy.stats.t.ppf(0.975, 3) * np.std(np.log(BEFORE), ddof=1) * math.sqrt(1 + 1 / 4)
    change = 1.25 / scipy.stats.gmean(BEFORE)
    assert result.cells[0].ci95 == pytest.approx((change * math.exp(-half), change * math.exp(half)))
    assert result.gate == "failed"


def test_a_regression_is_slower_beyond_the_gate_for_all_cells_together(tmp_path: Path) -> None:
    a = several(tmp_path / "a", *({"net": t, "other": t} for t in BEFORE))
    b = several(tmp_path / "b", *({"net": t, "other": t / 1.25} for t in AFTER))
    for limit in (0.0, 0.1, 0.2, 0.22, 0.3):
        result = bench_compare(a, b, fail_above=limit)
        net, other = result.cells
        p = [float(students(BEFORE, AFTER, limit).pvalue)]
        p.append(float(students(BEFORE, [t / 1.25 for t in AFTER], limit).pvalue))
        # Holm: the smaller p counts twice, for two cells.
        assert (net.p_holm, other.p_holm) == pytest.approx((min(1, 2 * p[0]), min(1, max(2 * p[0], p[1]))))
        assert (net.regression, other.regression) == (net.ci95[0] > 1 + limit and 2 * p[0] < 0.05, False)
        assert net.gate == ("failed" if net.regression else "passed")
        assert (result.regressions, result.fail_above) == (int(net.regression), limit)
        assert net.verdict == "slower"
    failing = [bench_compare(a, b, fail_above=limit).gate for limit in (0.1, 0.3)]
    assert failing == ["failed", "passed"]


def test_the_smallest_slow_down_that_fails_the_gate_is_told(tmp_path: Path) -> None:
    a = of_net(tmp_path / "a", BEFORE)
    seen = bench_compare(a, a, fail_above=0.05).cells[0].smallest_visible_change
    for more, gate in ((1.001, "failed"), (0.999, "cannot tell")):
        b = of_net(tmp_path / gate, [t * (1 + seen * more) for t in BEFORE])
        assert bench_compare(a, b, fail_above=0.05).cells[0].regression is (gate == "failed")


def test_a_slow_down_as_large_as_the_gate_passes(tmp_path: Path) -> None:
    a, b = of_net(tmp_path / "a", [1.0, 1.0]), of_net(tmp_path / "b", [1.5, 1.5])
    for limit, gate in ((0.5, "passed"), (0.499, "failed"), (0.501, "passed")):
        assert bench_compare(a, b, fail_above=limit).gate == gate


def test_runs_that_differ_too_much_cannot_tell_and_say_what_they_could_have_seen(tmp_path: Path) -> None:
    a, b = of_net(tmp_path / "a", [1.0, 1.3, 0.8]), of_net(tmp_path / "b", [1.1, 0.9, 1.2])
    result = bench_compare(a, b, fail_above=0.05)
    assert [cell.verdict for cell in result.cells] == ["cannot tell"]
    assert (result.gate, result.regressions) == ("cannot tell", 0)
    size = f"{result.smallest_visible_change:.1%}"
    with pytest.raises(NnkitError, match=f"cannot tell at this load .* no slow-down under {size}") as caught:
        check_gate(result)
    assert (caught.value.exit_code, type(caught.value)) == (1, NnkitError)
    # Where a change of that size does not matter, none is shown.
    assert bench_compare(a, b, min_effect=3).cells[0].verdict == "no difference"
    assert bench_compare(a, b, fail_above=3).gate == "passed"
    # Far faster is no slow-down, however wide the interval.
    faster = of_net(tmp_path / "faster", [0.2, 0.3, 0.25])
    assert bench_compare(a, faster, fail_above=0.05).gate == "passed"


def test_one_run_a_side_has_verdicts_and_no_gate(tmp_path: Path) -> None:
    a, b = (measured(tmp_path / str(s), {"net": [s] * 7}) for s in (1.0, 9.0))
    result = bench_compare(a, b, fail_above=0.1)
    assert (result.between_runs, result.gate, result.regressions) == (False, "cannot tell", 0)
    assert math.isnan(result.smallest_visible_change)
    assert result.cells[0].verdict == "slower"
    with pytest.raises(NnkitError, match="one run a side") as caught:
        check_gate(result)
    assert caught.value.exit_code == 1
    assert "--runs" in caught.value.hint


def test_a_side_is_a_run_a_file_several_between_commas_or_a_folder_of_runs(tmp_path: Path) -> None:
    a = of_net(tmp_path / "a", BEFORE)
    (a / "notes").mkdir()
    parts = [a / "0", a / "1" / "summary.json", a / "2", a / "3"]
    wanted = bench_compare(a, a).cells
    for spelling in (
        ",".join(map(str, parts)),
        ", ".join(map(str, parts)),
        f"{parts[0]},{parts[1]},{parts[2]},{a / '3'}",
    ):
        assert bench_compare(Path(spelling), a).cells == wanted
    odd = of_net(tmp_path / "of, a comma", [1.0, 1.0])
    assert len(bench_compare(odd, a).runs_a) == 2


def test_a_run_that_is_named_twice_has_no_spread_and_is_refused(tmp_path: Path) -> None:
    a = of_net(tmp_path / "a", BEFORE)
    for twice in (f"{a},{a / '0'}", f"{a / '0'},{a / '0' / '..' / '0'}"):
        with pytest.raises(UsageError, match="twice"):
            bench_compare(Path(twice), a)


def test_a_cell_that_some_runs_lack_is_judged_by_those_that_have_it(tmp_path: Path) -> None:
    a = several(tmp_path / "a", *({"net": t, "other": t} for t in BEFORE))
    b = several(tmp_path / "b", {"net": 1.0, "other": 1.0}, {"net": 1.01}, {"net": 1.0})
    other = bench_compare(a, b).cells[1]
    assert (other.arm, other.num_runs_a, other.num_runs_b) == ("other", 4, 1)
    alone = several(tmp_path / "c", {"net": 1.0, "other": 1.0}, {"net": 1.0})
    cell = bench_compare(alone, b, fail_above=0.9).cells[1]
    assert (cell.num_runs_a, cell.num_runs_b, cell.verdict, cell.gate) == (1, 1, "cannot tell", "cannot tell")
    assert math.isnan(cell.ci95[0])


def test_every_run_must_be_of_the_same_images_and_machine(tmp_path: Path) -> None:
    a, b = of_net(tmp_path / "a", BEFORE), of_net(tmp_path / "b", BEFORE)
    measured(b / "0" / "summary.json", {"net": [1.0] * 7}, environment={**MACHINE, "cores": 4})
    result = bench_compare(a, b)
    assert (result.same_machine, result.differences) == (False, ("cores: 2 and 4",))
    measured(a / "3" / "summary.json", {"net": [1.0] * 7}, images=11)
    with pytest.raises(UsageError, match="different images"):
        bench_compare(a, b)


# Simulated runs: how often the gate is right.


@dataclass(frozen=True)
class Load:
    """What moves times: from run to run, of all cells together and of each, and from round to round."""

    runs: float
    together: float = 0.0
    rounds: float = 0.05
    heavy_tails: bool = False

    def draw(self, rng: np.random.Generator, arms: Mapping[str, float]) -> dict[str, list[float]]:
        """The times of one run, seven rounds."""
        shift = self.together * rng.standard_normal()

        def own() -> float:
            return float(rng.standard_t(3) / math.sqrt(3) if self.heavy_tails else rng.standard_normal())

        return {
            name: list(time * np.exp(shift + self.runs * own() + self.rounds * rng.standard_normal(7)))
            for name, time in arms.items()
        }


ARMS = dict.fromkeys(("reference-batched", "pil-loop", "exact", "net"), 1.0)
SLOWER = {**ARMS, "net": 1.2}


def gates(load: Load, num_runs: int, after: Mapping[str, float], *, times: int = 300) -> Counter[str]:
    """How many of so many comparisons fail a gate of 5 %, pass it or cannot tell."""
    found: Counter[str] = Counter()
    rng = np.random.default_rng(0)
    for _ in range(times):
        sides = [
            Side(
                tuple(Path(f"{side}{at}") for at in range(num_runs)),
                (MEASURED_BEFORE,) * num_runs,
                tuple(
                    {(name, Setting()): np.array(values) for name, values in load.draw(rng, arms).items()}
                    for at in range(num_runs)
                ),
            )
            for side, arms in (("a", ARMS), ("b", after))
        ]
        result = compare_sides(Path("a"), Path("b"), *sides, fail_above=0.05)
        found[str(result.gate)] += 1
    return found


MEASURED_BEFORE = BenchResult.model_validate(document_of([]))


@pytest.mark.parametrize("num_runs", [2, 3, 5])
@pytest.mark.parametrize(
    "load",
    [Load(0.01), Load(0.05), Load(0.3), Load(0.05, together=0.1), Load(0.05, heavy_tails=True)],
    ids=str,
)
def test_where_nothing_changed_the_gate_fails_at_most_5_times_in_100(load: Load, num_runs: int) -> None:
    assert gates(load, num_runs, ARMS)["failed"] <= 0.05 * 300


@pytest.mark.parametrize(
    ("load", "num_runs"), [(Load(0.015, rounds=0.03), 3), (Load(0.03), 4), (Load(0.03), 5)], ids=str
)
def test_a_slow_down_of_20_percent_is_found_nearly_always_at_a_moderate_load(
    load: Load, num_runs: int
) -> None:
    found = gates(load, num_runs, SLOWER)
    assert found["failed"] >= 0.95 * 300, found
    assert not found["passed"]


def test_at_a_heavy_load_the_gate_cannot_tell(tmp_path: Path) -> None:
    for after in (ARMS, SLOWER):
        found = gates(Load(0.4), 3, after)
        assert found["cannot tell"] >= 0.95 * 300, found


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
    a = of_net(tmp_path / "a", [1.0, 1.0])
    b = of_net(tmp_path / "b", [2.0, 2.0], environment={**MACHINE, key: other})
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
    a = several(tmp_path / "a", *[{"x": 1.0, "y": 1.0, "z": 1.0}] * 2)
    b = several(tmp_path / "b", *[{"x": 2.0, "y": 3.0, "z": 1.0}] * 2)
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
    a, b = (
        Path(",".join(str(saved(tmp_path / f"{side}{'x' * at}.json", times)) for at in range(3)))
        for side, times in (("a", {"net": 0.1, "other": 0.2}), ("b", {"net": 0.12, "other": 0.2}))
    )
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
    assert result.cells[0].change == pytest.approx(1)
    assert result.cells[0].verdict == "no difference"


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
