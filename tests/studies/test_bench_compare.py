import json

import numpy as np
import pytest

from nnkit.errors import GateError, NnkitError, UsageError
from nnkit.studies.bench_compare import bench_compare, check_gate
from nnkit.studies.bench_grid import Setting

MACHINE = {"cpu": "a", "cores": 2, "threads": 2, "gpus": []}


def saved(path, times, *, machine=MACHINE, **changes):
    """A benchmark file: reference-loop takes 1 s, each arm its factor of it, with 1 % of noise."""
    rng = np.random.default_rng(len(str(path)))
    loop = 1 + 0.1 * rng.random(20)
    arms = [{"name": "reference-loop", "cells": [{**Setting().document(), "samples_s": loop.tolist()}]}]
    for name, factor in times.items():
        samples = (factor * loop * (1 + 0.01 * rng.standard_normal(20))).tolist()
        arms.append({"name": name, "cells": [{**Setting(batch_size=64).document(), "samples_s": samples}]})
    document = {
        "schema": "nnkit.bench/1", "environment": machine, "dataset": "d", "pipeline": "p", "images": 10,
        "loader": "memory", "arms": arms, **changes,
    }  # fmt: skip
    path.write_text(json.dumps(document))
    return path


def test_a_slower_cell_is_a_regression_beyond_the_gate_and_only_there(tmp_path):
    a = saved(tmp_path / "a.json", {"net": 0.1, "other": 0.2})
    b = saved(tmp_path / "bb.json", {"net": 0.12, "other": 0.2})
    result = bench_compare(a, b, fail_above=0.1)
    at = {cell["arm"]: cell for cell in result.cells}
    assert at["net"]["change"] == pytest.approx(1.2, rel=0.02)
    assert (at["net"]["verdict"], at["net"]["regression"]) == ("slower", True)
    assert (at["other"]["verdict"], at["other"]["regression"]) == ("no difference", False)
    with pytest.raises(GateError, match=r"net, takes 1\.2") as caught:
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
    assert [cell["verdict"] for cell in result.cells] == ["different machine"]
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
