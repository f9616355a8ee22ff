"""The optimizers and schedules that `--optimizer` and `--schedule` name, each with its settings."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import nn, optim
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

from nnkit import schema
from nnkit.errors import ConfigError, UsageError, did_you_mean
from nnkit.spec import Spec

Parameters = Iterable[nn.Parameter]
Schedule = Literal["none", "cosine", "one-cycle"]
DEFAULT_LR = 1e-3


class OptimizerRecipe(Protocol):
    """Settings of an optimizer; called with a model's parameters it makes one."""

    lr: float

    def __call__(self, parameters: list[nn.Parameter]) -> optim.Optimizer:
        """Make the optimizer."""
        ...


@dataclass(frozen=True, kw_only=True)
class Sgd:
    """Stochastic gradient descent; momentum with Nesterov's look-ahead when `nesterov` is set."""

    lr: float = DEFAULT_LR
    momentum: float = 0.0
    weight_decay: float = 0.0
    nesterov: bool = False

    def __call__(self, parameters: list[nn.Parameter]) -> optim.Optimizer:
        """Make the optimizer."""
        return optim.SGD(
            parameters,
            lr=self.lr,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            nesterov=self.nesterov,
            fused=_can_fuse(parameters),
        )


@dataclass(frozen=True, kw_only=True)
class Adam:
    """Adam (Kingma and Ba, 2015)."""

    torch_class: ClassVar[type[Any]] = optim.Adam

    lr: float = DEFAULT_LR
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __call__(self, parameters: list[nn.Parameter]) -> optim.Optimizer:
        """Make the optimizer."""
        made: optim.Optimizer = self.torch_class(
            parameters,
            lr=self.lr,
            betas=self.betas,
            eps=self.eps,
            weight_decay=self.weight_decay,
            fused=_can_fuse(parameters),
        )
        return made


@dataclass(frozen=True, kw_only=True)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019)."""

    torch_class: ClassVar[type[Any]] = optim.AdamW

    weight_decay: float = 0.01


@dataclass(frozen=True, kw_only=True)
class Lbfgs:
    """L-BFGS with a strong Wolfe line search; evaluates the loss several times per step."""

    lr: float = 1.0
    max_iter: int = 20
    history_size: int = 10

    def __call__(self, parameters: list[nn.Parameter]) -> optim.Optimizer:
        """Make the optimizer."""
        return optim.LBFGS(
            parameters,
            lr=self.lr,
            max_iter=self.max_iter,
            history_size=self.history_size,
            line_search_fn="strong_wolfe",
        )


OPTIMIZERS: Mapping[str, type[Any]] = {"sgd": Sgd, "adam": Adam, "adamw": AdamW, "lbfgs": Lbfgs}


def read_optimizer(spec: Spec, lr: float | None = None) -> OptimizerRecipe:
    """The recipe that a spec names; `lr`, where given, beats the spec's. All mistakes at once."""
    cls = OPTIMIZERS.get(spec.name)
    if cls is None:
        raise UsageError(
            f'optimizer: no optimizer is named "{spec.name[:80]}"', hint=did_you_mean(spec.name, OPTIMIZERS)
        )
    values, mistakes = schema.check(schema.settings_of(cls), spec.settings, "optimizer")
    if mistakes:
        raise ConfigError(mistakes)
    recipe: OptimizerRecipe = cls(**values)
    if lr is not None:
        recipe = replace(recipe, lr=lr)  # type: ignore[type-var]
    _try_out(spec, recipe)
    return recipe


def _try_out(spec: Spec, recipe: OptimizerRecipe) -> None:
    """Refuse settings out of range, most of them by torch itself, before any data is loaded."""
    if not (math.isfinite(recipe.lr) and recipe.lr > 0):
        raise UsageError(f'optimizer "{spec}": lr is {recipe.lr}, it must be a positive number')
    try:
        recipe([nn.Parameter(torch.zeros(1))])
    except ValueError as error:
        raise UsageError(f'optimizer "{spec}": {error}') from None


def make_schedule(name: Schedule, optimizer: optim.Optimizer, steps: int) -> LRScheduler | None:
    """A schedule stepped once per optimizer step, over `steps` steps.

    `cosine` falls from the learning rate to 0; `one-cycle` rises to it over the first 30 % from a 25th, then
    falls to 0 (Smith and Topin, 2018).
    """
    if name == "none" or steps == 0:
        return None
    if name == "cosine":
        return CosineAnnealingLR(optimizer, T_max=steps)
    max_lr = [group["lr"] for group in optimizer.param_groups]
    # Cycling the momentum is the schedule's default; left out so that every optimizer behaves alike.
    return OneCycleLR(optimizer, max_lr=max_lr, total_steps=steps + 1, cycle_momentum=False)


def _can_fuse(parameters: list[nn.Parameter]) -> bool:
    return all(p.is_floating_point() and p.device.type in ("cpu", "cuda", "mps") for p in parameters)
