"""`nnkit list`: which components are installed. Reads metadata alone; imports no component and no torch."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from nnkit import registry
from nnkit.errors import UsageError, did_you_mean, quote
from nnkit.types import GROUPS


def list_components(group: str | None = None) -> dict[str, Any]:
    """The document of `nnkit list --json`, for one group or all."""
    if group is not None:
        group = group.replace("-", "_").removeprefix("nnkit.")
        if group not in GROUPS:
            raise UsageError(f"there is no group {quote(group)}", hint=did_you_mean(group, GROUPS))
    chosen = [asdict(entry) for entry in registry.entries() if group in (None, entry.group)]
    return {"schema": "nnkit.list/1", "components": chosen}
