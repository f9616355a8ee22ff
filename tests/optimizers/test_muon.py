"""muon steps matrices as torch's Muon and all else as torch's AdamW, in one optimizer."""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim
from torch.optim.lr_scheduler import OneCycleLR

import nnkit
from nnkit.build import build

torch_muon = pytest.mark.skipif(not hasattr(optim, "Muon"), reason="this torch has no Muon")


class Net(nn.Module):
    """Kernels, a norm, a matrix with more columns than rows and one with more rows than columns."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.conv, self.norm = nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6)
            self.wide, self.tall = nn.Linear(6 * 16, 4), nn.Linear(4, 7)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden: Tensor = self.wide(self.norm(self.conv(inputs)).relu().flatten(1)).relu()
        output: Tensor = self.tall(hidden)
        return output


def step(net: nn.Module, *optimizers: Any, number: int = 0) -> None:
    generator = torch.Generator().manual_seed(number)
    inputs = torch.randn(16, 2, 6, 6, generator=generator)
    net.zero_grad()
    (net(inputs) ** 2).mean().backward()
    for each in optimizers:
        each.step()


def split(net: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    params = list(net.parameters())
    return [p for p in params if p.ndim > 1], [p for p in params if p.ndim <= 1]


def muon(spec: str, params: Any) -> optim.Optimizer:
    made: optim.Optimizer = build("optimizers", spec, list(params))
    return made


@torch_muon
@pytest.mark.parametrize(
    ("spec", "momentum", "decay", "adam_lr", "betas"),
    [
        ("muon", 0.95, 0.01, 1e-3, (0.9, 0.999)),
        ("muon:momentum=0.5,weight_decay=0.3", 0.5, 0.3, 1e-3, (0.9, 0.999)),
        ("muon:weight_decay=0,adam_lr=0.05,betas=[0.5,0.9]", 0.95, 0.0, 0.05, (0.5, 0.9)),
    ],
)
def test_a_step_is_that_of_torchs_muon_and_of_torchs_adamw(
    spec: str, momentum: float, decay: float, adam_lr: float, betas: tuple[float, float]
) -> None:
    ours = nn.Sequential(nn.Flatten(), nn.Linear(72, 5), nn.ReLU(), nn.Linear(5, 9))
    theirs = copy.deepcopy(ours)
    one = muon(spec, ours.parameters())
    matrices, others = split(theirs)
    both = [
        optim.Muon(matrices, lr=0.02, momentum=momentum, weight_decay=decay),
        optim.AdamW(others, lr=adam_lr, betas=betas, weight_decay=decay),
    ]
    for number in range(8):
        step(ours, one, number=number)
        step(theirs, *both, number=number)
        for name, value in theirs.state_dict().items():
            torch.testing.assert_close(ours.state_dict()[name], value, rtol=0, atol=1e-6)


@torch_muon
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_kernel_is_stepped_as_the_matrix_of_its_output_channels(layout: torch.memory_format) -> None:
    drawn = torch.randn(5, 6, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    kernel, matrix = (
        nn.Parameter(drawn[0].contiguous(memory_format=layout)),
        nn.Parameter(drawn[0].flatten(1)),
    )
    one, other = muon("muon", [kernel]), optim.Muon([matrix], lr=0.02, weight_decay=0.01)
    for gradient in drawn[1:]:
        kernel.grad, matrix.grad = gradient.contiguous(memory_format=layout), gradient.flatten(1)
        one.step()
        other.step()
    torch.testing.assert_close(kernel.flatten(1), matrix, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(3, 40), (40, 3), (8, 8)])
def test_a_step_is_near_orthogonal_whatever_the_gradients_size(
    dtype: torch.dtype, shape: tuple[int, int]
) -> None:
    steps = []
    for size in (1.0, 1e-3):
        weight = nn.Parameter(torch.zeros(shape, dtype=dtype))
        weight.grad = size * torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(0))
        muon("muon:lr=1.0,weight_decay=0", [weight]).step()
        steps.append(weight.detach() / max(1, shape[0] / shape[1]) ** 0.5)
    values = torch.linalg.svdvals(steps[0].double())
    assert 0.6 < float(values.min()) <= float(values.max()) < 1.3
    torch.testing.assert_close(steps[0], steps[1], rtol=0.02, atol=0.02)


def test_a_schedule_keeps_the_ratio_of_both_rates() -> None:
    net = Net()
    made = muon("muon:lr=0.1", net.parameters())
    schedule = OneCycleLR(made, [group["lr"] for group in made.param_groups], 10, cycle_momentum=False)
    seen = set()
    for number in range(9):
        first, second = (group["lr"] for group in made.param_groups)
        assert second == pytest.approx(first / 20)
        seen.add(first)
        step(net, made, number=number)
        schedule.step()
    assert len(seen) == 9


def test_weights_of_any_kind_are_stepped_by_one_of_the_two() -> None:
    for params in (
        [torch.randn(3, 4)], [torch.randn(3)], [torch.randn(())], [torch.randn(2, 2, 2, 2, 2)],
        [torch.randn(3, 4), torch.randn(2, 2, dtype=torch.complex64)],
    ):  # fmt: skip
        weights = [nn.Parameter(value) for value in params]
        made = muon("muon", weights)
        before = copy.deepcopy(weights)
        for weight in weights:
            weight.grad = torch.ones_like(weight)
        made.step()
        assert not any(torch.equal(one, other) for one, other in zip(weights, before, strict=True))


def test_a_closure_computes_the_loss_of_a_step() -> None:
    net = Net()
    made = muon("muon", net.parameters())
    assert made.step(functools.partial(_loss, net)) > 0  # type: ignore[call-overload, operator]
    assert net.wide.weight in made.state


def _loss(net: nn.Module) -> float:
    net.zero_grad()
    value = (net(torch.ones(4, 2, 6, 6)) ** 2).mean()
    value.backward()
    return float(value.detach())


@pytest.mark.slow
def test_a_convolutional_network_learns_faster_than_by_sgd(
    data_root: Path, cache_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NNKIT_CACHE", str(cache_dir))
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])

    def accuracy(optimizer: str) -> float:
        found = nnkit.train(
            dataset="digits", model="mnist-convnet", optimizer=optimizer, epochs=1, limit=3000,
            data_root=data_root, test=False, runs_dir=tmp_path,
        )  # fmt: skip
        return float(found.best["metrics"]["val_accuracy"])

    by_muon = accuracy("muon")
    assert by_muon > 0.85
    assert by_muon > accuracy("sgd") + 0.1
    assert by_muon > accuracy("sgd:lr=0.03,momentum=0.9") + 0.05
