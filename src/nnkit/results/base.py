"""What every study returns: a frozen model that prints itself as one strict JSON document."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from nnkit import files


class Result(BaseModel):
    """A study's answer. `schema_name` is the `schema` key of its JSON document, such as "nnkit.train/1"."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_name: ClassVar[str]

    def document(self) -> dict[str, Any]:
        """The JSON document as a dict: units in key names, not-a-number as null."""
        document: dict[str, Any] = files.strict(
            {"schema": self.schema_name, **self.model_dump(mode="python")}
        )
        return document
