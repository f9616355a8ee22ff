"""The result of `nnkit new-plugin`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from nnkit.results.base import Result


class NewPluginResult(Result):
    """Where the package was written, and what it brings."""

    schema_name: Literal["nnkit.new-plugin/1"] = Field(
        default="nnkit.new-plugin/1", validation_alias="schema", serialization_alias="schema"
    )
    folder: Path
    distribution: str
    kind: str
    component: str
    module: str
    class_name: str
    files: tuple[str, ...]
    next_commands: tuple[str, ...]
