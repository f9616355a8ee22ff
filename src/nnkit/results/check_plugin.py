"""The result of `nnkit check-plugin`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nnkit.results.base import Part, Result


class CheckResult(Part):
    """What one check of one component found; `message` says what is wrong or why it was skipped."""

    group: str
    component: str
    check: str
    status: Literal["passed", "failed", "skipped"]
    message: str


class CheckPluginResult(Result):
    """All checks of a distribution's components."""

    schema_name: Literal["nnkit.check-plugin/1"] = Field(
        default="nnkit.check-plugin/1", validation_alias="schema", serialization_alias="schema"
    )
    package: str
    version: str
    passed: int
    failed: int
    skipped: int
    checks: tuple[CheckResult, ...]
