"""What the class of an optimizer or a schedule says of how it is stepped."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn, optim
from torch.optim import lr_scheduler

from nnkit.training.stepping import filled_in, needs_closure, rate_of, why_not_per_step


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


class Optional(lr_scheduler.ReduceLROnPlateau):
    def step(self, metrics: Any = 0.5, *more: Any, **others: Any) -> None:  # type: ignore[override]
        pass


@pytest.mark.parametrize(
    "cls", [lr_scheduler.CosineAnnealingLR, lr_scheduler.OneCycleLR, lr_scheduler.StepLR, Optional]
)
def test_a_schedule_is_stepped_without_arguments(cls: type[lr_scheduler.LRScheduler]) -> None:
    assert why_not_per_step(cls) is None


class Renamed(lr_scheduler.ReduceLROnPlateau):
    def step(self, value: Any, *, better: bool) -> None:  # type: ignore[override]
        pass


@pytest.mark.parametrize(
    ("cls", "asked"), [(lr_scheduler.ReduceLROnPlateau, '"metrics"'), (Renamed, '"value" and "better"')]
)
def test_a_schedule_whose_step_requires_a_metric_is_none(
    cls: type[lr_scheduler.LRScheduler], asked: str
) -> None:
    assert f"needs a metric after each epoch ({asked})" in str(why_not_per_step(cls))


def test_a_run_fills_in_how_long_it_is_and_what_the_rates_are() -> None:
    first, second = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    made = optim.SGD([{"params": [first], "lr": 0.5}, {"params": [second]}], lr=0.1)
    assert filled_in(made, num_steps=21) == {"T_max": 21, "total_steps": 22, "max_lr": [0.5, 0.1]}
