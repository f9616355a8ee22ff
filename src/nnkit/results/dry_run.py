"""The result of `--dry-run`: a configuration, and where each value comes from."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, JsonValue

from nnkit.results.base import Result


class DryRunResult(Result):
    """`config` as a TOML file would hold it; `origins` by key, or by key.setting of a component."""

    schema_name: str = Field(
        pattern=r"^nnkit\.[a-z-]+\.dry-run/1$", validation_alias="schema", serialization_alias="schema"
    )
    config: Mapping[str, JsonValue]
    origins: Mapping[str, str]
