"""nnkit's contract tests of timm's parts, and what the adapters give held against timm itself."""

import math
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import timm
import timm.optim
import torch
from nnkit_timm import TimmCosine, TimmNet, TimmPoly, TimmTanh
from timm.scheduler import CosineLRScheduler
from torch import nn
from torch.optim import SGD

import nnkit
from nnkit.build import build
from nnkit.errors import UsageError
from nnkit.testing import ModelContract, OptimizerContract, ScheduleContract


class TestTimmNet(ModelContract):
    component = TimmNet
    settings: ClassVar[dict[str, str]] = {"architecture": "test_nfnet"}


class TestLion(OptimizerContract):
    component = timm.optim.Lion


class TestLamb(OptimizerContract):
    component = timm.optim.Lamb


class TestNAdamW(OptimizerContract):
    component = timm.optim.NAdamW


class TestTimmCosine(ScheduleContract):
    component = TimmCosine


class TestTimmPoly(ScheduleContract):
    component = TimmPoly


class TestTimmTanh(ScheduleContract):
    component = TimmTanh


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_050", "efficientnet_b0", "convnext_atto"])
def test_a_network_is_timms_with_the_datasets_channels_and_classes(name: str) -> None:
    torch.manual_seed(0)
    ours = build("models", f"timm:architecture={name}", known={"in_channels": 1, "num_classes": 7})
    torch.manual_seed(0)
    theirs = timm.create_model(name, in_chans=1, num_classes=7)
    images = torch.rand(2, 1, 64, 48, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(ours.eval()(images), theirs.eval()(images))
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())


def test_a_transformer_is_made_for_the_images() -> None:
    net = TimmNet(in_channels=3, num_classes=4, architecture="vit_tiny_patch16_224", image_side=32)
    assert net(torch.rand(2, 3, 32, 32)).shape == (2, 4)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"architecture": "resnet_18"}, "timm has no network"),
        ({"architecture": "resnet18", "image_side": 32}, "cannot be made so"),
        ({"architecture": "resnet18", "drop_rate": 1.0}, "drop_rate is 1.0"),
    ],
)
def test_what_timm_does_not_have_is_told(settings: dict, said: str) -> None:
    with pytest.raises((UsageError, ValueError), match=said):
        TimmNet(in_channels=1, num_classes=2, **settings)


def test_the_cosine_is_timms_rate_after_each_step() -> None:
    def optimizer() -> SGD:
        return SGD([nn.Parameter(torch.ones(1))], lr=0.3)

    theirs, ours = optimizer(), optimizer()
    expected = CosineLRScheduler(theirs, 40, warmup_t=4, lr_min=0.01, t_in_epochs=False)
    schedule = TimmCosine(ours, 40, warmup=0.1, lr_min=0.01)
    for step in range(40):
        expected.step_update(step)
        assert ours.param_groups[0]["lr"] == pytest.approx(theirs.param_groups[0]["lr"], abs=1e-12)
        ours.step()
        schedule.step()


def test_a_network_trains_with_an_optimizer_and_a_schedule_of_timm(tmp_path: Path) -> None:
    labels = np.arange(120) % 2
    noise = np.random.default_rng(0).integers(0, 100, (120, 16, 16))
    data = nnkit.Data(((labels[:, None, None] * 120 + noise).astype("uint8"), labels))
    result = nnkit.train(
        dataset=data, model="timm:architecture=resnet10t", optimizer="lion:lr=0.001", schedule="timm-cosine",
        epochs=4, batch_size=16, out=tmp_path / "run",
    )  # fmt: skip
    assert result.best.value is not None
    assert result.best.value > 0.9
    rates = nnkit.load(result.run_dir)
    assert math.isfinite(float(rates(torch.rand(1, 1, 16, 16)).sum()))
