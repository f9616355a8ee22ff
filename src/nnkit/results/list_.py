"""The result of `nnkit list`. (The module has an underscore because `list` is a built-in.)

Plain dataclasses, where the other results are pydantic's: to import pydantic would double the command's time.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal


@dataclass(frozen=True)
class Component:
    """A component as metadata names it; `error` is what is wrong with it, or empty."""

    group: str
    name: str
    provider: str
    version: str
    target: str
    error: str


@dataclass(frozen=True)
class ListResult:
    """The components that are installed."""

    components: tuple[Component, ...]
    schema: Literal["nnkit.list/1"] = "nnkit.list/1"

    def document(self) -> dict[str, str | list[dict[str, str]]]:
        """The JSON document."""
        return {"schema": self.schema, "components": [asdict(component) for component in self.components]}
