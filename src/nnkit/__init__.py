"""nnkit: compose small vision experiments by name. The names here load what they need when first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nnkit.metadata import tolerate_malformed_entry_points

if TYPE_CHECKING:
    from nnkit.api import (
        bench,
        bench_compare,
        bench_ops,
        check_plugin,
        clear_cache,
        compare_pooling,
        components,
        count_params,
        doctor,
        evaluate,
        fit,
        info,
        list_cache,
        list_components,
        list_runs,
        load,
        new_plugin,
        show_run,
        train,
        verify_run,
    )
    from nnkit.data.own_data import Data

tolerate_malformed_entry_points()  # before anything imports torch

__all__ = [
    "Data",
    "bench",
    "bench_compare",
    "bench_ops",
    "check_plugin",
    "clear_cache",
    "compare_pooling",
    "components",
    "count_params",
    "doctor",
    "evaluate",
    "fit",
    "info",
    "list_cache",
    "list_components",
    "list_runs",
    "load",
    "new_plugin",
    "show_run",
    "train",
    "verify_run",
]


def __getattr__(name: str) -> Any:
    # Lazy, so that `import nnkit` and the command line's help load neither torch nor pydantic.
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("nnkit")
        except PackageNotFoundError:
            return "0+uninstalled"
    if name == "Data":
        from nnkit.data.own_data import Data

        return Data
    if name in __all__:
        from nnkit import api

        return getattr(api, name)
    raise AttributeError(f"module 'nnkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
