"""`--dry-run`: what a command would do, and where each value of its configuration comes from."""

from __future__ import annotations

from nnkit import files
from nnkit.config import C, Resolved, dump
from nnkit.results.dry_run import DryRunResult


def describe(command: str, resolved: Resolved[C]) -> DryRunResult:
    """The configuration that `command` ("compare-pooling") would run with."""
    config = files.strict(dump(resolved.config))
    origins = {key: resolved.origins.get(key, "default") for key in config} | dict(resolved.origins)
    return DryRunResult(schema_name=f"nnkit.{command}.dry-run/1", config=config, origins=origins)
