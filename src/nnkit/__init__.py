"""nnkit: compose small vision experiments by name. The names here load what they need when first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nnkit.build import components
    from nnkit.studies.bench import bench
    from nnkit.studies.compare_pooling import compare_pooling
    from nnkit.studies.count_params import count_params
    from nnkit.studies.evaluate import evaluate
    from nnkit.studies.train import train
    from nnkit.training.checkpoints import load

_HOME = {
    "bench": "nnkit.studies.bench",
    "components": "nnkit.build",
    "compare_pooling": "nnkit.studies.compare_pooling",
    "count_params": "nnkit.studies.count_params",
    "evaluate": "nnkit.studies.evaluate",
    "load": "nnkit.training.checkpoints",
    "train": "nnkit.studies.train",
}
__all__ = ["bench", "compare_pooling", "components", "count_params", "evaluate", "load", "train"]


def __getattr__(name: str) -> Any:
    # Lazy, so that `import nnkit` and the command line's help load no torch.
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("nnkit")
        except PackageNotFoundError:
            return "0+uninstalled"
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'nnkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
