"""The optimizer that a configuration names: what it does not go together with, its learning rate, itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn
from torch.optim import Optimizer

from nnkit import registry, schema
from nnkit.build import ValidatedSpec
from nnkit.config import Resolved
from nnkit.errors import Mistake, NnkitError, PluginError
from nnkit.spec import Spec
from nnkit.studies.train.config import TrainConfig
from nnkit.training import determinism
from nnkit.training.loop import Explain
from nnkit.training.memory import is_out_of_memory
from nnkit.training.stepping import needs_closure

GROUP = "optimizers"


def searches_a_line(config: TrainConfig) -> bool:
    """Whether the optimizer computes loss and gradients itself, as L-BFGS does."""
    return needs_closure(registry.load(registry.find(GROUP, config.optimizer.name)).cls)


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


def rate_mistakes(resolved: Resolved[TrainConfig]) -> list[Mistake]:
    """`--lr` for an optimizer that has no learning rate."""
    config, origin = resolved.config, resolved.origins.get("optimizer.lr", "")
    asked = config.lr is not None or ("lr" in config.optimizer.settings and origin == "option --lr")
    if not asked or "lr" in _settings(config.optimizer):
        return []
    return [Mistake("lr", f'the optimizer "{config.optimizer.name}" has no learning rate', "leave --lr out")]


def with_rate(optimizer: Spec, lr: float | None) -> Spec:
    """The optimizer's spec with its learning rate written out, as a run's configuration keeps it.

    `lr` is that of a configuration made in Python: `resolve` writes the option into the spec.
    """
    settings = _settings(optimizer)
    if lr is None and "lr" in settings:
        default = None if settings["lr"].required else settings["lr"].default
        lr = schema.check(settings, optimizer.settings, "optimizer")[0].get("lr", default)
    return optimizer if lr is None else Spec(optimizer.name, {**optimizer.settings, "lr": lr})


def make_optimizer(chosen: ValidatedSpec, parameters: Sequence[nn.Parameter]) -> Optimizer:
    """The optimizer of these parameters; `PluginError` where the class makes something else."""
    made = chosen.make(list(parameters))
    if not isinstance(made, Optimizer):
        kind = f"{type(made).__module__}.{type(made).__qualname__}"
        raise PluginError(
            f"the {chosen.title} gives a {kind}, which is no torch.optim.Optimizer",
            hint="docs/plugins.md says what each kind of component must be",
        )
    return made


def explain(components: Mapping[str, ValidatedSpec]) -> Explain:
    """Tells an error that a component raised in a step as that component's."""

    def told(what: str, error: Exception) -> None:
        known = isinstance(error, NnkitError) or is_out_of_memory(error)
        if not known and not (isinstance(error, RuntimeError) and determinism.refusal(error)):
            raise components[what].broke("in a training step", error) from error

    return told


def _settings(optimizer: Spec) -> Mapping[str, schema.Setting]:
    return schema.settings_of(registry.load(registry.find(GROUP, optimizer.name)).cls, GROUP)
