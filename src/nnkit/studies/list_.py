"""`nnkit list`: which components are installed. Reads metadata alone; imports no component and no torch."""

from __future__ import annotations

from collections.abc import Sequence

from nnkit import registry
from nnkit.results.list_ import Component, ListResult
from nnkit.types import GROUPS


def list_components(groups: Sequence[str] = ()) -> ListResult:
    """The components of the named groups, or of all."""
    wanted = {registry.find_group(group) for group in groups} or set(GROUPS)
    chosen = (Component(**vars(entry)) for entry in registry.entries() if entry.group in wanted)
    return ListResult(components=tuple(chosen))
