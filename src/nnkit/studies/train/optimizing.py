"""The optimizer and the schedule that a configuration names: their settings, and they themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from nnkit import registry, schema
from nnkit.build import ValidatedSpec, plan
from nnkit.config import Resolved
from nnkit.errors import Mistake, NnkitError, PluginError, UsageError
from nnkit.spec import Spec
from nnkit.studies.train.config import TrainConfig
from nnkit.training import determinism
from nnkit.training.loop import Explain
from nnkit.training.memory import is_out_of_memory
from nnkit.training.stepping import FILLED_IN, OF_ALL_STEPS, filled_in, needs_closure, why_not_per_step

K = TypeVar("K")
OPTIMIZERS, SCHEDULES = "optimizers", "schedules"


def searches_a_line(config: TrainConfig) -> bool:
    """Whether the optimizer computes loss and gradients itself, as L-BFGS does."""
    return needs_closure(registry.load(registry.find(OPTIMIZERS, config.optimizer.name)).cls)


def closure_mistakes(config: TrainConfig) -> list[Mistake]:
    """Options that an optimizer with a line search cannot follow."""
    name, found = config.optimizer.name, []
    if (config.clip is None and config.on_oom != "shrink") or not searches_a_line(config):
        return []
    if config.clip is not None:
        why = f"{name} searches along its own step: it has no gradient to clip"
        found.append(Mistake("clip", why))
    if config.on_oom == "shrink":
        why = f"{name} has moved the weights when memory runs out within its step: it cannot begin again"
        found.append(Mistake("on_oom", why, "use --accumulate, or a smaller --batch-size"))
    return found


def schedule_mistakes(config: TrainConfig) -> list[Mistake]:
    """A schedule that waits for a metric, as torch's ReduceLROnPlateau."""
    why = why_not_per_step(registry.load(registry.find(SCHEDULES, config.schedule.name)).cls)
    if why is None:
        return []
    hint = "take one that falls by itself, as --schedule cosine, or stop by the metric with --stop patience"
    return [Mistake("schedule", f'"{config.schedule.name}" cannot be used: {why}', hint)]


def rate_mistakes(resolved: Resolved[TrainConfig]) -> list[Mistake]:
    """`--lr` for an optimizer that has no learning rate."""
    config, origin = resolved.config, resolved.origins.get("optimizer.lr", "")
    asked = config.lr is not None or ("lr" in config.optimizer.settings and origin == "option --lr")
    if not asked or "lr" in _settings(OPTIMIZERS, config.optimizer):
        return []
    return [Mistake("lr", f'the optimizer "{config.optimizer.name}" has no learning rate', "leave --lr out")]


def with_rate(optimizer: Spec, lr: float | None) -> Spec:
    """The optimizer's spec with its learning rate written out, as a run's configuration keeps it.

    `lr` is that of a configuration made in Python: `resolve` writes the option into the spec.
    """
    settings = _settings(OPTIMIZERS, optimizer)
    if lr is None and "lr" in settings:
        default = None if settings["lr"].required else settings["lr"].default
        lr = schema.check(settings, optimizer.settings, "optimizer")[0].get("lr", default)
    return optimizer if lr is None else Spec(optimizer.name, {**optimizer.settings, "lr": lr})


def check_optimizing(config: TrainConfig) -> None:
    """`ConfigError` for an optimizer or a schedule that lacks a setting that no run fills in."""
    plan(OPTIMIZERS, config.optimizer)
    plan(SCHEDULES, config.schedule, offered=dict.fromkeys(FILLED_IN))


def is_over_all_steps(schedule: Spec) -> bool:
    """Whether the learning rate at a step depends on how many steps the run has."""
    settings = _settings(SCHEDULES, schedule)
    return any(name in settings and name not in schedule.settings for name in OF_ALL_STEPS)


def make_both(
    config: TrainConfig, parameters: Sequence[nn.Parameter], *, num_steps: int
) -> tuple[Optimizer, LRScheduler, Explain]:
    """The optimizer of these parameters, its schedule, and what explains their errors.

    `PluginError` where a class makes something else; `UsageError` for a schedule of no learning rate.
    """
    of_weights = plan(OPTIMIZERS, config.optimizer)
    optimizer = _made(of_weights, Optimizer, list(parameters))
    of_rates = plan(SCHEDULES, config.schedule, offered=filled_in(optimizer, num_steps=num_steps))
    try:
        schedule = _made(of_rates, LRScheduler, optimizer)
    except PluginError as error:
        if all("lr" in group for group in optimizer.param_groups):
            raise
        raise UsageError(
            f'schedule: the optimizer "{config.optimizer}" has no learning rate to change',
            hint="leave --schedule out, or take another optimizer",
        ) from error
    return optimizer, schedule, _explain({"optimizer": of_weights, "schedule": of_rates})


def _made(chosen: ValidatedSpec, kind: type[K], first: object) -> K:
    made = chosen.make(first)
    if not isinstance(made, kind):
        raise PluginError(
            f"the {chosen.title} gives a {type(made).__module__}.{type(made).__qualname__}, which is no "
            f"{kind.__module__.removesuffix('.optimizer')}.{kind.__qualname__}",
            hint="docs/plugins.md says what each kind of component must be",
        )
    return made


def _explain(components: Mapping[str, ValidatedSpec]) -> Explain:
    """Tells an error that a component raised in a step as that component's.

    A `ValueError` of a schedule is the user's: `total_steps` that are fewer than those of the run.
    """

    def told(what: str, error: Exception) -> None:
        known = isinstance(error, NnkitError) or is_out_of_memory(error)
        if known or (isinstance(error, RuntimeError) and determinism.refusal(error)):
            return
        if what == "schedule" and isinstance(error, ValueError):
            raise UsageError(f"the {components[what].title} cannot go on: {error}") from error
        raise components[what].broke("in training", error) from error

    return told


def _settings(group: str, spec: Spec) -> Mapping[str, schema.Setting]:
    return schema.settings_of(registry.load(registry.find(group, spec.name)).cls, group)
