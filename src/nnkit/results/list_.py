"""The result of `nnkit list`. (The module bears an underscore because `list` is a built-in.)"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nnkit.results.base import Part, Result


class Component(Part):
    """A component as metadata names it; `error` is what is wrong with it, or empty."""

    group: str
    name: str
    provider: str
    version: str
    target: str
    error: str


class ListResult(Result):
    """The components that are installed."""

    schema_name: Literal["nnkit.list/1"] = Field(
        default="nnkit.list/1", validation_alias="schema", serialization_alias="schema"
    )
    components: tuple[Component, ...]
