"""What an optimizer's class says of how it is stepped."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn, optim

from nnkit.training.stepping import needs_closure, rate_of


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
