"""A benchmark's arms, grid, fidelity and mistakes; its arithmetic is in test_bench_arithmetic.py."""

import json
import math

import pytest
import torch
from torch import nn

from nnkit.api import bench
from nnkit.config import resolve
from nnkit.errors import NnkitError, PartialError, UsageError
from nnkit.studies.bench import arms as bench_arms
from nnkit.studies.bench import study
from nnkit.studies.bench.config import BenchConfig
from nnkit.studies.bench.study import check_complete

REFERENCES = ["reference-loop", "reference-batched", "pil-loop", "exact"]


@pytest.fixture(scope="module")
def result():
    return bench(
        model=["mlp-bottleneck:hidden=4"], batch_size=(16, 48), shuffle=(False, True), drop_last="true,false",
        input="float,uint8", limit=40, repeats=3, threads=1,
    )  # fmt: skip


def arm(result, name):
    return next(row for row in result.arms if row["name"] == name)


def test_the_four_references_are_always_there_and_then_the_networks(result):
    names = [row["name"] for row in result.arms]
    assert names[:4] == REFERENCES
    assert names[4:] == ["exact (uint8 in)", "mlp-bottleneck:hidden=4", "mlp-bottleneck:hidden=4 (uint8 in)"]


def test_loops_have_one_cell_and_batched_arms_the_whole_grid(result):
    settings = [
        [(cell["batch_size"], cell["shuffle"], cell["drop_last"]) for cell in row["cells"]]
        for row in result.arms
    ]
    grid = [(size, mix, drop) for size in (16, 48) for mix in (False, True) for drop in (True, False)]
    assert settings == [[(1, False, False)], grid, [(1, False, False)], grid, grid, grid, grid]
    for cell in (cell for row in result.arms for cell in row["cells"] if cell["error"] is None):
        assert (cell["n"], cell["batch_size"] <= 40 or not cell["drop_last"]) == (3, True)


def test_a_dropped_last_batch_is_not_counted_and_no_whole_batch_is_unavailable(result):
    cells = [cell for cell in arm(result, "exact")["cells"] if cell["drop_last"]]
    assert {cell["images"] for cell in cells if cell["batch_size"] == 16} == {32}
    without = [cell for cell in cells if cell["batch_size"] == 48]
    assert all(cell["error"].startswith("unavailable") and cell["median_s"] is None for cell in without)
    check_complete(result)


def test_the_references_are_exact_and_the_untrained_network_replaces_nothing(result):
    assert [arm(result, name)["fidelity"]["class"] for name in REFERENCES[:2]] == ["exact", "exact"]
    assert arm(result, "exact")["fidelity"]["class"] == "exact"
    assert arm(result, "exact")["fidelity"]["max_abs_error"] < 1e-6
    network = arm(result, "mlp-bottleneck:hidden=4")
    assert network["fidelity"]["class"] == "approximate"
    assert network["note"] == "untrained weights"
    said = [found for found in result.comparisons if found["a"].startswith("mlp")]
    assert len(said) == 4
    assert not any(found["replaces"] for found in said)
    assert result.best["arm"] in (*REFERENCES, "exact (uint8 in)")
    assert result.break_even_images is None


def test_the_document_is_json_with_the_keys_that_scripts_read(result):
    document = json.loads(json.dumps(result.document()))
    assert document["schema"] == "nnkit.bench/1"
    wanted = {"device", "batch_size", "num_workers", "shuffle", "drop_last", "pin_memory", "n", "median_s"}
    wanted |= {"iqr_s", "images_per_s", "speedup", "ci95", "floor_s", "error"}
    assert all(wanted <= set(cell) for row in document["arms"] for cell in row["cells"])
    assert {"cpu", "cores", "threads", "load_average", "gpus", "versions", "command"} <= set(
        document["environment"]
    )


def test_torchs_dataloader_with_workers_sees_every_image(monkeypatch):
    seen = []

    class Counting(nn.Module):
        def forward(self, images):
            seen.append(len(images))
            return images

    arm = bench_arms.BatchArm("count", "model", Counting(), torch.rand(10, 3, 4, 4), "dataloader")
    for workers, drop_last, expected in ((0, False, [4, 4, 2]), (1, True, [4, 4]), (2, False, [4, 4, 2])):
        seen.clear()
        setting = study.Setting(batch_size=4, num_workers=workers, drop_last=drop_last, shuffle=True)
        arm.prepare(setting)()
        assert seen == expected


def test_a_cell_that_fails_holds_its_error_and_the_grid_goes_on(monkeypatch):
    class Failing(nn.Module):
        def forward(self, images):
            if len(images) == 8:
                raise RuntimeError("out of memory, as it were")
            return torch.zeros(len(images), 1, 28, 28)

    def made(text, data, seed):
        return bench_arms._Network("failing", Failing(), None, "")

    monkeypatch.setattr(bench_arms, "_from_spec", made)
    result = bench(model=["linear"], batch_size="4,8", limit=16, repeats=3, threads=1)
    cells = arm(result, "failing")["cells"]
    assert cells[0]["error"] is None
    assert "out of memory, as it were" in cells[1]["error"]
    with pytest.raises(PartialError, match=r"1 of \d+ cells failed"):
        check_complete(result)


def test_cuda_cells_are_unavailable_without_a_gpu_and_that_is_no_failure():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    result = bench(device="cpu,cuda", limit=8, repeats=3, threads=1)
    cells = arm(result, "exact")["cells"]
    assert cells[0]["error"] is None
    assert cells[1]["error"].startswith("unavailable: torch sees 0 CUDA devices")
    check_complete(result)


@pytest.mark.gpu
def test_on_a_gpu_the_exact_operator_is_timed_with_its_floor():
    result = bench(device="cuda", limit=1000, batch_size="1000", repeats=5)
    cell = arm(result, "exact")["cells"][0]
    assert cell["error"] is None
    assert cell["times_floor"] > 1


def test_a_run_brings_its_training_time_and_breaks_even_when_it_is_saved(tmp_path):
    from nnkit.api import train

    data = "cifar-transform:source=synthetic"
    run = train(
        dataset=data, model="transform-net", epochs=1, limit=64, runs_dir=tmp_path, threads=1, test=False
    )
    # A minute of training, and a run by its path and by its name.
    summary = run.run_dir / "summary.json"
    summary.write_text(json.dumps({**json.loads(summary.read_text()), "seconds": 60.0}))
    result = bench(
        model=[str(run.run_dir), run.run_dir.name], limit=32, repeats=3, threads=1, runs_dir=tmp_path
    )
    first, second = result.arms[-2:]
    assert (first["name"], second["name"]) == ("transform-net", f"transform-net ({run.run_dir.name})")
    seconds = {row["name"]: row["cells"][0]["median_s"] / 32 for row in result.arms}
    for row in (first, second):
        assert row["train_s"] == 60
        assert row["note"] == f"run {run.run_dir.name}"
        for reference, images in row["break_even_images"].items():
            saved = seconds[reference] - seconds[row["name"]]
            assert images == (math.ceil(60 / saved) if saved > 0 else None)


def test_presets_set_what_is_not_given():
    resolved = study.complete(resolve(BenchConfig, {"preset": "report-grid", "batch_size": "16"}))
    config = resolved.config
    assert (config.batch_size, config.loader, config.model) == ((16,), "dataloader", ("transform-net",))
    assert (config.shuffle, config.drop_last) == ((True, False), (True, False))
    assert resolved.origins["shuffle"] == "preset report-grid"
    assert resolved.origins["batch_size"] == "option --batch-size"
    whole = study.complete(resolve(BenchConfig, {"preset": "report-grid"})).config
    assert len(study.settings_of(whole)) == 48


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dataset": "digits"}, "no pipeline"),
        ({"num_workers": "1"}, "dataloader"),
        ({"pin_memory": "true"}, "dataloader"),
        ({"batch_size": "0"}, "batch_size"),
        ({"batch_size": ""}, "batch_size"),
        ({"shuffle": "maybe"}, "shuffle"),
        ({"device": "gpu"}, "device"),
        ({"device": "cuda:77"}, "nothing of the grid"),
        ({"model": [""]}, "model is empty"),
        ({"repeats": 2}, "repeats"),
        ({"model": ["no-such-model"], "limit": 4, "repeats": 3}, "no-such-model"),
        ({"model": ["mnist-convnet"], "limit": 4, "repeats": 3}, "mnist-convnet"),
    ],
)
def test_mistakes_are_told_with_the_option(options, said):
    with pytest.raises(NnkitError) as caught:
        bench(**options)
    assert caught.value.exit_code == 2
    assert said in f"{caught.value.message} {caught.value.hint}"


def test_a_run_for_other_images_is_refused(tmp_path):
    from nnkit.api import train

    run = train(
        dataset="cifar-transform:source=synthetic,pipeline=resize(16)", model="linear", epochs=1, limit=8,
        runs_dir=tmp_path, threads=1,
    )  # fmt: skip
    with pytest.raises(UsageError, match="was made for"):
        bench(model=[str(run.run_dir)], limit=4, repeats=3)


def test_a_pipeline_that_is_not_affine_has_no_exact_arm_and_says_so():
    result = bench(
        dataset="cifar-transform:source=synthetic,pipeline='resize(28),brightness(1.5)'",
        limit=6, repeats=3, threads=1,
    )  # fmt: skip
    assert "not affine" in arm(result, "exact")["cells"][0]["error"]
    assert arm(result, "exact")["fidelity"]["class"] is None
    check_complete(result)


def test_on_photographs_the_exact_operator_is_exact(data_root, cache_dir, monkeypatch):
    monkeypatch.setenv("NNKIT_CACHE", str(cache_dir))
    result = bench(
        dataset="cifar-transform:source=cifar10-images.tgz", data_root=data_root, limit=200, repeats=3
    )
    assert arm(result, "exact")["fidelity"]["class"] == "exact"
    assert arm(result, "pil-loop")["fidelity"]["class"] != "exact"


def test_without_a_compiler_the_compiled_arm_is_unavailable_and_the_others_are_timed():
    from torch._inductor import config

    # Not monkeypatch: these settings have no value of their own to be put back.
    with config.patch({"cpp.cxx": ("no-such-compiler",), "force_disable_caches": True}):
        torch.compiler.reset()
        result = bench(limit=7, repeats=3, compile=True, threads=1, batch_size=7)
    torch.compiler.reset()
    cells = {row["name"]: row["cells"][0] for row in result.arms}
    assert cells["exact"]["error"] is None
    assert cells["exact (compiled)"]["error"].startswith("unavailable: cannot be compiled here")
    check_complete(result)


def test_an_arm_says_whether_copies_to_the_device_are_timed():
    told = [
        {row["name"]: row["copies_timed"] for row in bench(loader=loader, limit=8, repeats=3, threads=1).arms}
        for loader in ("memory", "dataloader")
    ]
    assert not any(told[0].values())
    assert [name for name, timed in told[1].items() if timed] == ["reference-batched", "exact"]
