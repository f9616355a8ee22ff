"""The built-in schedules: torch's to the bit, or as their docstrings say."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    LinearLR,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    StepLR,
)

from nnkit.build import plan
from nnkit.errors import ConfigError
from nnkit.spec import parse
from nnkit.training.stepping import filled_in

TOTAL = 20


def optimizer() -> SGD:
    """Two groups of parameters with rates of their own."""
    first, second = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    return SGD([{"params": [first], "lr": 0.3}, {"params": [second]}], lr=0.1, momentum=0.9)


def built(spec: str, of: SGD) -> Any:
    return plan("schedules", spec, offered=filled_in(of, num_steps=TOTAL)).make(of)


def rates(make: Any, num_steps: int = TOTAL) -> list[tuple[float, float]]:
    of = optimizer()
    schedule, found = make(of), []
    with warnings.catch_warnings(action="ignore"):
        for _ in range(num_steps):
            found.append((of.param_groups[0]["lr"], of.param_groups[1]["lr"]))
            of.step()
            schedule.step()
    return found


AS_TORCH: dict[str, Any] = {
    "cosine": lambda o: CosineAnnealingLR(o, T_max=TOTAL),
    "cosine:T_max=7,eta_min=0.01": lambda o: CosineAnnealingLR(o, T_max=7, eta_min=0.01),
    "one-cycle": lambda o: OneCycleLR(o, [0.3, 0.1], total_steps=TOTAL + 1, cycle_momentum=False),
    "one-cycle:warmup=0.1": lambda o: OneCycleLR(
        o, [0.3, 0.1], total_steps=TOTAL + 1, pct_start=0.1, cycle_momentum=False
    ),
    "step:step_size=3,gamma=0.5": lambda o: StepLR(o, 3, 0.5),
    "multi-step:milestones=[2,5]": lambda o: MultiStepLR(o, [2, 5]),
    "exponential:gamma=0.9": lambda o: ExponentialLR(o, 0.9),
    "linear-rate:start_factor=0.5": lambda o: LinearLR(o, 0.5),
    "constant": lambda o: ConstantLR(o),
    "polynomial:power=2.0": lambda o: PolynomialLR(o, power=2.0),
    "cosine-restarts:T_0=3,T_mult=2": lambda o: CosineAnnealingWarmRestarts(o, 3, 2),
}


@pytest.mark.parametrize("spec", AS_TORCH)
def test_a_schedule_is_torchs_to_the_bit(spec: str) -> None:
    assert rates(lambda of: built(spec, of)) == rates(AS_TORCH[spec])


def test_none_leaves_the_rates_and_the_optimizer_alone() -> None:
    of = optimizer()
    step = of.step
    schedule = built("none", of)
    schedule.step()
    assert [group["lr"] for group in of.param_groups] == [0.3, 0.1]
    assert of.step == step
    assert schedule.state_dict() == {}


@pytest.mark.parametrize("total", [2, 3, 10, 21])
def test_one_cycle_takes_any_warmup(total: int) -> None:
    for warmup in (0.0, 1 / total, 2 / total, 0.5, 1.0):
        found = rates(lambda of, w=warmup: built(f"one-cycle:warmup={w},total_steps={total}", of), total - 1)
        assert all(0 < second <= 0.1 for _, second in found)
        top = max(range(total - 1), key=lambda step: found[step][1])
        assert top <= max(1, round(warmup * total))


@pytest.mark.parametrize(("warmup", "num"), [(0.0, 0), (0.25, 5), (0.5, 10), (1.0, 20), (None, 1)])
@pytest.mark.parametrize("final", [0.0, 0.2])
def test_linear_warmup_cosine_rises_in_a_straight_line_and_falls_to_its_final_share(
    warmup: float | None, num: int, final: float
) -> None:
    settings = f"final={final}" + ("" if warmup is None else f",warmup={warmup}")
    found = rates(lambda of: built(f"linear-warmup-cosine:{settings}", of), TOTAL + 1)
    for step, (first, second) in enumerate(found):
        share = (step + 1) / (num + 1)
        if step >= num:
            half = (1 + math.cos(math.pi * (step - num) / max(1, TOTAL - num))) / 2
            share = final + (1 - final) * half
        assert first == pytest.approx(0.3 * share, abs=1e-12)
        assert second == pytest.approx(0.1 * share, abs=1e-12)
    if num < TOTAL:
        assert found[-1][0] == pytest.approx(0.3 * final, abs=1e-12)


def test_linear_warmup_cosine_without_warmup_is_cosine() -> None:
    found = rates(lambda of: built("linear-warmup-cosine:warmup=0", of))
    for one, other in zip(found, rates(lambda of: built("cosine", of)), strict=True):
        assert one == pytest.approx(other, abs=1e-15)


@pytest.mark.parametrize(
    ("spec", "place"),
    [
        ("linear-warmup-cosine:warmup=1.5", "warmup"),
        ("linear-warmup-cosine:warmup=-0.1", "warmup"),
        ("linear-warmup-cosine:final=2", "final"),
        ("linear-warmup-cosine:T_max=0", "T_max"),
        ("cosine:warmup=0.1", "warmup"),
        ("one-cycle:warmup=2", "warmup"),
        ("one-cycle:total_steps=1", "total_steps"),
        ("step", "step_size"),
        ("step:step_size=often", "step_size"),
        ("none:rate=1", "rate"),
        ("cosine:optimizer=1", "optimizer"),
    ],
)
def test_a_wrong_setting_is_a_mistake_of_its_own_place(spec: str, place: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan("schedules", parse(spec), offered=dict.fromkeys(["T_max", "total_steps"]))
    assert [mistake.path for mistake in caught.value.mistakes] == [f"schedule.{place}"]
