"""Each arm sees the images that it says, whole and once a pass, in the order of its setting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nnkit.api import bench
from nnkit.config import resolve
from nnkit.errors import UsageError
from nnkit.studies.bench.arms import BatchArm, FromLevels, LoopArm, MissingArm, batch_arms, reference_arms
from nnkit.studies.bench.config import BenchConfig
from nnkit.studies.bench.device_copies import DeviceCopies
from nnkit.studies.bench.grid import PRESETS, Setting, one_pass, settings_of, with_preset
from nnkit.surrogates.pipelines import parse_pipeline

NUM = 11
LEVELS = torch.arange(NUM * 3 * 4 * 4, dtype=torch.int64).reshape(NUM, 3, 4, 4).remainder(251).to(torch.uint8)
FLOATS = LEVELS.float() / 255


class Watching(nn.Module):
    """Keeps what it is given, and in which mode."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []
        self.modes: set[tuple[bool, bool]] = set()

    def __deepcopy__(self, memo: object) -> Watching:
        return self

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(images)
        self.modes.add((self.training, torch.is_inference_mode_enabled()))
        return images[:, :1]


def config_of(**options: Any) -> BenchConfig:
    return resolve(BenchConfig, options).config


def pass_of(setting: Setting, loader: str, images: Tensor = FLOATS) -> list[Tensor]:
    return list(one_pass(images, setting, loader))


# The grid.


@pytest.mark.parametrize("loader", ["memory", "dataloader"])
@pytest.mark.parametrize(("drop_last", "lengths"), [(False, [4, 4, 3]), (True, [4, 4])])
def test_a_pass_in_order_gives_each_image_once(loader: str, drop_last: bool, lengths: list[int]) -> None:
    setting = Setting(batch_size=4, drop_last=drop_last)
    batches = pass_of(setting, loader)
    assert [len(batch) for batch in batches] == lengths
    assert torch.equal(torch.cat(batches), FLOATS[: sum(lengths)])
    assert setting.num_seen(NUM) == sum(lengths)


@pytest.mark.parametrize("loader", ["memory", "dataloader"])
def test_a_shuffled_pass_gives_each_image_once_in_another_order_each_time(loader: str) -> None:
    orders = []
    for _ in range(2):
        torch.manual_seed(len(orders))
        batches = pass_of(Setting(batch_size=4, shuffle=True), loader)
        assert [len(batch) for batch in batches] == [4, 4, 3]
        orders.append([int(image[0, 0, 0] * 255 + 0.5) for batch in batches for image in batch])
    own = [int(level) for level in LEVELS[:, 0, 0, 0]]
    assert len(set(own)) == NUM
    assert all(sorted(order) == sorted(own) and order != own for order in orders)
    assert orders[0] != orders[1]
    dropped = pass_of(Setting(batch_size=4, shuffle=True, drop_last=True), loader)
    assert [len(batch) for batch in dropped] == [4, 4]


def test_a_batch_that_is_larger_than_the_images_is_short_or_nothing() -> None:
    assert [len(batch) for batch in pass_of(Setting(batch_size=20), "memory")] == [NUM]
    assert pass_of(Setting(batch_size=20, drop_last=True), "memory") == []
    assert Setting(batch_size=20, drop_last=True).num_seen(NUM) == 0
    assert Setting(batch_size=NUM, drop_last=True).num_seen(NUM) == NUM


def test_batches_from_memory_share_it() -> None:
    (first, *_) = pass_of(Setting(batch_size=4), "memory")
    assert first.data_ptr() == FLOATS.data_ptr()


def test_the_grid_is_every_combination_the_last_option_fastest() -> None:
    config = config_of(
        device="cpu,cuda:1", batch_size="3,5", num_workers="0,2", shuffle="true,false",
        drop_last="false,true", pin_memory="true,false", loader="dataloader",
    )  # fmt: skip
    grid = settings_of(config)
    assert len(grid) == len(set(grid)) == 64
    assert [setting.document() for setting in grid[:3]] == [
        {
            "device": "cpu", "batch_size": 3, "num_workers": 0, "shuffle": True, "drop_last": False,
            "pin_memory": True,
        },
        {**grid[0].document(), "pin_memory": False},
        {**grid[0].document(), "drop_last": True},
    ]  # fmt: skip
    assert (grid[4].shuffle, grid[8].num_workers, grid[16].batch_size, grid[32].device) == (
        False, 2, 5, "cuda:1",
    )  # fmt: skip
    assert Setting() == Setting("cpu", 1, 0, False, False, False)


def test_a_setting_is_unavailable_where_its_device_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert Setting("cpu").unavailable() is None
    assert Setting("cuda").unavailable() is None
    assert Setting("cuda:0").unavailable() is None
    assert Setting("cuda:1").unavailable() == "unavailable: torch sees 1 CUDA devices"
    assert Setting("mps").unavailable() == "unavailable: no mps device"
    assert Setting(pin_memory=True).unavailable() == (
        "unavailable: memory is pinned for a CUDA device, and there is none"
    )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert Setting(pin_memory=True).unavailable() is None
    assert Setting("mps").unavailable() is None


@pytest.mark.parametrize(
    ("preset", "num", "model"),
    [
        ("report-grid", 2 * 6 * 2 * 2, "transform-net"),
        ("report-30", 2, "mlp-bottleneck"),
        ("report-sweep", 2 * 6 * 3 * 2, "conv-linear"),
    ],
)
def test_a_preset_is_its_reports_grid_read_image_by_image(preset: str, num: int, model: str) -> None:
    found = with_preset(resolve(BenchConfig, {"preset": preset}))
    assert len(settings_of(found.config)) == num
    assert (found.config.loader, found.config.model) == ("dataloader", (model,))
    assert found.config.repeats == (30 if preset == "report-30" else 10)
    assert {key for key, origin in found.origins.items() if origin == f"preset {preset}"} == {
        "loader", *PRESETS[preset],
    }  # fmt: skip
    given = with_preset(resolve(BenchConfig, {"preset": preset, "device": "cpu", "loader": "dataloader"}))
    assert given.config.device == ("cpu",)
    assert given.origins["device"] == "option --device"


def test_workers_and_pinned_memory_are_for_the_dataloader() -> None:
    for options in ({"num_workers": "0,1"}, {"pin_memory": "false,true"}):
        with pytest.raises(UsageError, match="images in memory need no workers"):
            with_preset(resolve(BenchConfig, options))
        assert with_preset(resolve(BenchConfig, {**options, "loader": "dataloader"})).config.model == ()


# The arms.


@pytest.mark.parametrize("loader", ["memory", "dataloader"])
def test_a_batched_arm_sees_every_image_in_eval_mode_and_inference(loader: str) -> None:
    module = Watching()
    assert module.training
    arm = BatchArm("x", "model", module, FLOATS, loader)
    run = arm.prepare(Setting(batch_size=4))
    assert module.seen == []
    output = run()
    assert module.modes == {(False, True)}
    assert torch.equal(torch.cat(module.seen), FLOATS)
    assert isinstance(output, Tensor)
    assert torch.equal(output, FLOATS[8:, :1])  # the last batch's
    module.seen.clear()
    run()
    assert torch.equal(torch.cat(module.seen), FLOATS)
    assert torch.equal(arm.outputs(), FLOATS[:, :1])


def test_the_callers_module_stays_as_it_was() -> None:
    module = nn.Dropout(0.5)
    arm = BatchArm("x", "model", module, FLOATS, "memory")
    assert torch.equal(arm.outputs(), FLOATS)
    assert module.training


def test_outputs_are_float32_of_all_images_in_chunks() -> None:
    images = torch.zeros(2003, 1, 1, 1, dtype=torch.uint8)
    module = Watching()
    outputs = BatchArm("x", "model", module, images, "memory").outputs()
    assert (outputs.dtype, tuple(outputs.shape)) == (torch.float32, (2003, 1, 1, 1))
    assert [len(seen) for seen in module.seen] == [1000, 1000, 3]
    assert module.modes == {(False, True)}


def test_an_arm_says_what_one_call_is_given() -> None:
    def takes(arms: list[Any]) -> dict[str, tuple[str, str]]:
        return {arm.name: (arm.takes, arm.input_type) for arm in arms}

    loop, batch = ("float32 (C, H, W)", "float"), ("float32 (B, C, H, W)", "float")
    pil, bytes_ = ("PIL image", "uint8"), ("uint8 (B, C, H, W)", "uint8")
    config = config_of(input="float,uint8")
    assert takes(reference_arms(parse_pipeline("hflip"), LEVELS, FLOATS, config, DeviceCopies())) == {
        "reference-loop": loop, "reference-batched": batch, "pil-loop": pil, "exact": batch,
        "exact (uint8 in)": bytes_,
    }  # fmt: skip
    assert takes(
        reference_arms(parse_pipeline("hflip", dtype="uint8"), LEVELS, FLOATS, config_of(), DeviceCopies())
    ) == {
        "reference-loop": ("uint8 (C, H, W)", "uint8"), "reference-batched": bytes_, "pil-loop": pil,
        "exact": batch,
    }  # fmt: skip
    by_pil = takes(
        reference_arms(parse_pipeline("hflip", backend="pil"), LEVELS, FLOATS, config_of(), DeviceCopies())
    )
    assert by_pil["reference-loop"] == pil


def test_every_reference_computes_the_pipeline_on_every_image() -> None:
    pipeline = parse_pipeline("grayscale,hflip")
    wanted = pipeline.apply(LEVELS)
    for arm in reference_arms(pipeline, LEVELS, FLOATS, config_of(input="float,uint8"), DeviceCopies()):
        found = arm.outputs()
        assert found.dtype == torch.float32
        # PIL rounds to 8-bit values.
        assert (found - wanted).abs().max() <= (0.51 / 255 + 1e-6 if arm.name == "pil-loop" else 1e-6)
        result = arm.prepare(Setting(batch_size=NUM))()
        if isinstance(arm, LoopArm):
            assert arm.settings([Setting(batch_size=7)]) == [Setting()]
            assert isinstance(result, list)
            assert len(result) == NUM
            last = torch.from_numpy(np.array(result[-1])) / 255 if arm.how == "pil" else result[-1][0]
            assert (last - found[-1, 0]).abs().max() < 1e-6
        else:
            assert isinstance(result, Tensor)
            assert torch.equal(result, found)
            assert arm.settings([Setting(batch_size=7)]) == [Setting(batch_size=7)]
        assert arm.kind == "reference"


def test_a_pipeline_that_is_no_operator_has_no_exact_arm_and_says_why() -> None:
    *_, missing = reference_arms(
        parse_pipeline("brightness(1.5)"), LEVELS, FLOATS, config_of(), DeviceCopies()
    )
    assert isinstance(missing, MissingArm)
    assert (missing.name, missing.kind, missing.settings([])) == ("exact", "reference", [Setting()])
    for use in (missing.outputs, lambda: missing.prepare(Setting())):
        with pytest.raises(UsageError, match=r"^unavailable: the pipeline is not affine"):
            use()


def test_eight_bit_images_are_divided_unless_the_network_takes_them() -> None:
    module = Watching()
    output = FromLevels(module)(LEVELS)
    assert torch.equal(module.seen[0], LEVELS.float() / 255)
    assert torch.equal(output, module.seen[0][:, :1])
    module.takes_levels = True  # type: ignore[assignment]
    assert torch.equal(FromLevels(module)(LEVELS), LEVELS[:, :1])
    assert module.seen[1].dtype == torch.uint8


def test_each_input_and_compiling_make_an_arm_of_their_own() -> None:
    config = config_of(input="uint8,float", compile=True, loader="dataloader")
    arms = batch_arms("net", "model", nn.Identity(), LEVELS, FLOATS, config, train_s=2.0, note="mine")
    assert [(arm.name, arm.compiled, arm.images.dtype) for arm in arms if isinstance(arm, BatchArm)] == [
        ("net (uint8 in)", False, torch.uint8),
        ("net (uint8 in) (compiled)", True, torch.uint8),
        ("net", False, torch.float32),
        ("net (compiled)", True, torch.float32),
    ]
    for arm in arms:
        assert isinstance(arm, BatchArm)
        assert (arm.kind, arm.loader, arm.train_s, arm.note) == ("model", "dataloader", 2.0, "mine")
        assert isinstance(arm.module, FromLevels if "uint8" in arm.name else nn.Identity)


def test_a_folder_that_is_no_run_does_not_hide_the_model_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "linear").mkdir()
    result = bench(model=["linear"], limit=4, repeats=3, threads=1)
    assert result.arms[-1]["name"] == "linear"
    assert (result.run_dir, sorted(tmp_path.iterdir())) == (None, [tmp_path / "linear"])
