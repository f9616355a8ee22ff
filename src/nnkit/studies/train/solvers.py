"""What `--solver als` asks of a configuration: a model with a closed form, and nothing about gradients."""

from __future__ import annotations

from nnkit import registry
from nnkit.config import TrainConfig
from nnkit.errors import Mistake, NnkitError
from nnkit.spec import Spec

OF_GRADIENTS = ("optimizer", "lr", "schedule", "augment", "order", "clip", "ema", "compile")
"""Options that mean nothing without gradient steps: with als they stay at their defaults."""


def solver_mistakes(config: TrainConfig, model: Spec) -> list[Mistake]:
    """What of the configuration does not go with its solver."""
    if config.solver == "gradient":
        return []
    mistakes = [
        Mistake(key, "solver=als takes no gradient steps", "leave it out, or use --solver gradient")
        for key in OF_GRADIENTS
        if getattr(config, key) != TrainConfig.model_fields[key].default
    ]
    if not has_closed_form(model.name):
        names = ", ".join(models_with_closed_form())
        mistakes.append(Mistake("model", f'"{model.name}" has no closed-form fit', f"these have: {names}"))
    return mistakes


def has_closed_form(name: str) -> bool:
    """Whether the model's class has the method of `nnkit.types.ClosedFormModel`."""
    return hasattr(registry.load(registry.find("models", name)).cls, "fit_closed_form")


def models_with_closed_form() -> list[str]:
    """The models that als can fit; a plugin that cannot be imported has none."""
    names = []
    for name in sorted({entry.name for entry in registry.entries() if entry.group == "models"}):
        try:
            if has_closed_form(name):
                names.append(name)
        except NnkitError:
            continue
    return names
