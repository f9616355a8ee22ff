"""The optimizers and schedules that `--optimizer` and `--schedule` name, each with its settings.

torch is imported when one is built, after names and settings were checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol

from pydantic import Field

from nnkit import schema
from nnkit.errors import ConfigError, Mistake, UsageError, did_you_mean
from nnkit.spec import Spec

if TYPE_CHECKING:
    from torch import nn, optim
    from torch.optim.lr_scheduler import LRScheduler

Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
FromOne = Annotated[int, Field(ge=1)]
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

    lr: Rate = DEFAULT_LR
    momentum: NotNegative = 0.0
    weight_decay: NotNegative = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        if self.nesterov and not self.momentum:
            raise UsageError("nesterov looks ahead along the momentum, which is 0", hint="set momentum=0.9")

    def __call__(self, parameters: list[nn.Parameter]) -> optim.Optimizer:
        """Make the optimizer."""
        from torch import optim

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

    torch_name: ClassVar[str] = "Adam"

    lr: Rate = DEFAULT_LR
    betas: tuple[BelowOne, BelowOne] = (0.9, 0.999)
    eps: NotNegative = 1e-8
    weight_decay: NotNegative = 0.0

    def __call__(self, parameters: list[nn.Parameter]) -> optim.Optimizer:
        """Make the optimizer."""
        from torch import optim

        made: optim.Optimizer = getattr(optim, self.torch_name)(
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

    torch_name: ClassVar[str] = "AdamW"

    weight_decay: NotNegative = 0.01


@dataclass(frozen=True, kw_only=True)
class Lbfgs:
    """L-BFGS with a strong Wolfe line search; evaluates the loss several times per step."""

    lr: Rate = 1.0
    max_iter: FromOne = 20
    history_size: FromOne = 10

    def __call__(self, parameters: list[nn.Parameter]) -> optim.Optimizer:
        """Make the optimizer."""
        from torch import optim

        return optim.LBFGS(
            parameters,
            lr=self.lr,
            max_iter=self.max_iter,
            history_size=self.history_size,
            line_search_fn="strong_wolfe",
        )


OPTIMIZERS: Mapping[str, type[Any]] = {"sgd": Sgd, "adam": Adam, "adamw": AdamW, "lbfgs": Lbfgs}


def read_optimizer(spec: Spec) -> OptimizerRecipe:
    """The recipe that a spec names. All mistakes at once."""
    cls = OPTIMIZERS.get(spec.name)
    if cls is None:
        raise UsageError(
            f'no optimizer is named "{spec.name[:80]}"', hint=did_you_mean(spec.name, OPTIMIZERS)
        )
    values, mistakes = schema.check(schema.settings_of(cls), spec.settings, "optimizer")
    if mistakes:
        raise ConfigError(mistakes)
    recipe: OptimizerRecipe = cls(**values)
    return recipe


def optimizer_mistakes(spec: Spec) -> list[Mistake]:
    """What is wrong with the spec of an optimizer, as mistakes of the option."""
    try:
        read_optimizer(spec)
    except ConfigError as error:
        return list(error.mistakes)
    except UsageError as error:
        return [Mistake("optimizer", error.message, error.hint)]
    return []


def make_schedule(name: Schedule, optimizer: optim.Optimizer, steps: int) -> LRScheduler | None:
    """A schedule stepped once per optimizer step, over `steps` steps.

    `cosine` falls from the learning rate to 0; `one-cycle` rises to it over the first 30 % from a 25th, then
    falls to 0 (Smith and Topin, 2018).
    """
    if name == "none" or steps == 0:
        return None
    from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

    if name == "cosine":
        return CosineAnnealingLR(optimizer, T_max=steps)
    max_lr = [group["lr"] for group in optimizer.param_groups]
    # Cycling the momentum is the schedule's default; left out so that every optimizer behaves alike.
    return OneCycleLR(optimizer, max_lr=max_lr, total_steps=steps + 1, cycle_momentum=False)


def _can_fuse(parameters: list[nn.Parameter]) -> bool:
    return all(p.is_floating_point() and p.device.type in ("cpu", "cuda", "mps") for p in parameters)
