"""A resolved configuration with the origin of each value, as `--dry-run` shows it."""

from __future__ import annotations

from typing import Any

from nnkit.config import Resolved, dump
from nnkit.present.tables import table
from nnkit.spec import Spec
from nnkit.types import Bucketing


def dry_run_document(command: str, resolved: Resolved[Any]) -> dict[str, Any]:
    """The JSON document: the configuration, and where each value came from."""
    config = dump(resolved.config)
    origins = {key: resolved.origins.get(key, "default") for key in config} | dict(resolved.origins)
    return {"schema": f"nnkit.{command}.dry-run/1", "config": config, "origins": origins}


def dry_run_table(resolved: Resolved[Any], *, width: int = 80) -> str:
    """One row per value: key, value, origin. A setting of a component that was changed has its own row."""
    rows = []
    for key, value in dump(resolved.config).items():
        rows.append((key, _show(value), resolved.origins.get(key, "default")))
        spec = getattr(resolved.config, key)
        for path, origin in resolved.origins.items():
            if path.startswith(f"{key}.") and isinstance(spec, (Spec, Bucketing)):
                settings = spec.settings if isinstance(spec, Spec) else value
                rows.append((path, _show(settings.get(path.partition(".")[2])), origin))
    return table(rows, ("key", "value", "from"), align="nll", width=width)


def _show(value: Any) -> str:
    if isinstance(value, dict):
        settings = ", ".join(f"{key}={_show(item)}" for key, item in value.items() if key != "name")
        return f"{value['name']}: {settings}" if "name" in value else settings
    if isinstance(value, list):
        return "; ".join(_show(item) for item in value)
    return str(value).lower() if isinstance(value, bool) else str(value)
