"""What `--solver als` asks of a configuration: a model with a closed form, and nothing about gradients."""

from __future__ import annotations

from nnkit import registry
from nnkit.errors import Mistake, NnkitError
from nnkit.spec import Spec
from nnkit.studies.train.config import TrainConfig


def solver_mistakes(config: TrainConfig, model: Spec) -> list[Mistake]:
    """Where the solver is als: a model that has no closed form."""
    if config.solver == "gradient":
        return []
    if has_closed_form(model.name):
        return []
    names = ", ".join(models_with_closed_form())
    return [Mistake("model", f'"{model.name}" has no closed-form fit', f"these have: {names}")]


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
