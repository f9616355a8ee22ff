"""A resolved configuration with the origin of each value, as `--dry-run` shows it."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from nnkit.present.layout import WIDTH, table
from nnkit.results.dry_run import DryRunResult
from nnkit.spec import parse


def dry_run_table(result: DryRunResult, *, width: int = WIDTH) -> str:
    """One row per value: key, value, origin. A setting of a component that was changed has its own row."""
    rows = []
    for key, value in result.config.items():
        rows.append((key, _show(value), result.origins[key]))
        for path, origin in result.origins.items():
            if path.startswith(f"{key}."):
                rows.append((path, _setting(value, path.removeprefix(f"{key}.")), origin))
    return table(rows, ("key", "value", "from"), align="nll", width=width)


def _setting(value: JsonValue, name: str) -> str:
    """A setting of a component, which a configuration holds as a table or as a spec."""
    if isinstance(value, Mapping):
        return _show(value.get(name))
    return str(parse(value).settings.get(name)) if isinstance(value, str) else str(None)


def _show(value: JsonValue) -> str:
    if isinstance(value, dict):
        settings = ", ".join(f"{key}={_show(item)}" for key, item in value.items() if key != "name")
        return f"{value['name']}: {settings}" if "name" in value else settings
    if isinstance(value, list):
        return "; ".join(_show(item) for item in value) or "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
