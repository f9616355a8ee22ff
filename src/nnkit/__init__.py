"""nnkit: compose small vision experiments by name. The names here load what they need when first used."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nnkit.build import build, components
    from nnkit.studies.evaluate import evaluate
    from nnkit.studies.train import train
    from nnkit.training.checkpoints import load

_HOME = {
    "build": "nnkit.build",
    "components": "nnkit.build",
    "evaluate": "nnkit.studies.evaluate",
    "load": "nnkit.training.checkpoints",
    "train": "nnkit.studies.train",
}
__all__ = ["build", "components", "evaluate", "load", "train"]


def __getattr__(name: str) -> Any:
    # Lazy, so that `import nnkit` and the command line's help load no torch.
    if name == "__version__":
        try:
            return version("nnkit")
        except PackageNotFoundError:
            return "0+uninstalled"
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'nnkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
