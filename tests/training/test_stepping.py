"""What the class of an optimizer or a schedule says of how it is stepped."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn, optim
from torch.optim import lr_scheduler

from nnkit.training.stepping import filled_in, is_per_step, needs_closure, rate_of, takes_metrics


class WithoutRate(optim.Optimizer):
    def __init__(self, params: Any) -> None:
        super().__init__(params, {})

    def step(self, closure: Any) -> Any:  # type: ignore[override]
        return closure()


@pytest.mark.parametrize(
    ("cls", "needed"),
    [(optim.LBFGS, True), (WithoutRate, True), (optim.SGD, False), (optim.Adam, False), (optim.NAdam, False)],
)
def test_an_optimizer_whose_step_requires_a_closure_is_given_one(
    cls: type[optim.Optimizer], needed: bool
) -> None:
    assert needs_closure(cls) == needed


def test_the_rate_is_that_of_the_first_parameters_or_nan() -> None:
    first, second = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    assert rate_of(optim.SGD([{"params": [first], "lr": 0.5}, {"params": [second]}], lr=0.1)) == 0.5
    assert rate_of(optim.SGD([first], lr=torch.tensor(0.25))) == 0.25
    assert math.isnan(rate_of(WithoutRate([first])))


class EachStep(lr_scheduler.ExponentialLR):
    per = "step"


class EachEpoch(lr_scheduler.CosineAnnealingLR):
    per = "epoch"


@pytest.mark.parametrize(
    ("cls", "per_step", "metrics"),
    [
        (lr_scheduler.CosineAnnealingLR, True, False),
        (lr_scheduler.OneCycleLR, True, False),
        (lr_scheduler.StepLR, False, False),
        (lr_scheduler.CosineAnnealingWarmRestarts, False, False),
        (lr_scheduler.ReduceLROnPlateau, False, True),
        (EachStep, True, False),
        (EachEpoch, False, False),
    ],
)
def test_a_schedule_is_stepped_as_its_class_says(
    cls: type[lr_scheduler.LRScheduler], per_step: bool, metrics: bool
) -> None:
    assert is_per_step(cls) == per_step
    assert takes_metrics(cls) == metrics


def test_a_run_fills_in_how_long_it_is_and_what_the_rates_are() -> None:
    first, second = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    made = optim.SGD([{"params": [first], "lr": 0.5}, {"params": [second]}], lr=0.1)
    length: dict[str, Any] = {"epochs": 3, "steps_per_epoch": 7, "monitor": "val_accuracy"}
    found = {
        "T_max": 21, "total_steps": 22, "epochs": 3, "steps_per_epoch": 7, "max_lr": [0.5, 0.1],
    }  # fmt: skip
    assert filled_in(lr_scheduler.OneCycleLR, made, **length) == found
    assert filled_in(lr_scheduler.ReduceLROnPlateau, made, **length) == {**found, "mode": "max"}
