"""nnkit: compose small vision experiments by name. The names here load what they need when first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nnkit.metadata import tolerate_malformed_entry_points

if TYPE_CHECKING:
    from nnkit.build import components
    from nnkit.runs.checkpoints import load
    from nnkit.studies.bench.study import bench
    from nnkit.studies.compare_pooling.study import compare_pooling
    from nnkit.studies.count_params.study import count_params
    from nnkit.studies.evaluate import evaluate
    from nnkit.studies.train.study import train

tolerate_malformed_entry_points()  # before anything imports torch

_HOME = {
    "bench": "nnkit.studies.bench.study",
    "components": "nnkit.build",
    "compare_pooling": "nnkit.studies.compare_pooling.study",
    "count_params": "nnkit.studies.count_params.study",
    "evaluate": "nnkit.studies.evaluate",
    "load": "nnkit.runs.checkpoints",
    "train": "nnkit.studies.train.study",
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
