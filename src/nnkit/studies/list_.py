"""`nnkit list`: which components are installed. Reads metadata alone; imports no component and no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nnkit import registry
from nnkit.types import GROUPS


def list_components(groups: Sequence[str] = ()) -> dict[str, Any]:
    """The document of `nnkit list --json`, for the named groups or all."""
    wanted = {registry.find_group(group) for group in groups} or set(GROUPS)
    chosen = [dict(vars(entry)) for entry in registry.entries() if entry.group in wanted]
    return {"schema": "nnkit.list/1", "components": chosen}
