"""Requirements of `--solver least-squares`: a model with such a fit."""

from __future__ import annotations

from nnkit import registry
from nnkit.errors import Mistake, NnkitError
from nnkit.spec import ObjectSpec, Spec
from nnkit.studies.train.config import TrainConfig


def solver_mistakes(config: TrainConfig, model: Spec) -> list[Mistake]:
    """Where the solver is least-squares: a model without such a fit."""
    if config.solver == "gradient":
        return []
    if _fits(model.value) if isinstance(model, ObjectSpec) else has_least_squares(model.name):
        return []
    names = ", ".join(models_with_least_squares())
    return [Mistake("model", f'"{model.name}" has no least-squares fit', f"these have: {names}")]


def has_least_squares(name: str) -> bool:
    """Whether the model's class has the method of `nnkit.types.LeastSquaresModel`, or its name of 0.1."""
    return _fits(registry.load(registry.find("models", name)).cls)


def _fits(model: object) -> bool:
    return hasattr(model, "fit_least_squares") or hasattr(model, "fit_closed_form")


def models_with_least_squares() -> list[str]:
    """The models that have such a fit; a plugin that cannot be imported has none."""
    names = []
    for name in sorted({entry.name for entry in registry.entries() if entry.group == "models"}):
        try:
            if has_least_squares(name):
                names.append(name)
        except NnkitError:
            continue
    return names
