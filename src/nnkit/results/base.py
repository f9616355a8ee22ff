"""What results are made of: frozen values that print themselves as strict JSON and are read back from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from typing import Annotated, ClassVar, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, JsonValue, WithJsonSchema

from nnkit import files

Document: TypeAlias = dict[str, JsonValue]
"""A JSON object."""


def _nan_from_null(value: object) -> object:
    return math.nan if value is None else value


Number = Annotated[
    float,
    BeforeValidator(_nan_from_null),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "null"}]}),
]
"""A value that may be NaN or infinite, which JSON has as null; null is read as NaN."""

Interval = tuple[Number, Number]
"""Lower and upper end of a 95 % confidence interval."""


class Part(BaseModel):
    """A part of a result. A field whose default is None is left out of the document while it is None.

    Keys that are not known are ignored when a document is read: a later nnkit may have written more.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    def document(self) -> Document:
        """The JSON object: units in key names, values that are not finite as null."""
        document: Document = {}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if value is not None or field.default is not None:
                document[field.serialization_alias or name] = _plain(value)
        return document

    def __getitem__(self, key: str) -> object:
        """The value under a JSON key, `result.test["accuracy"]`, as scripts wrote when parts were dicts."""
        for name, field in type(self).model_fields.items():
            if key in (name, field.serialization_alias):
                return getattr(self, name)
        return self.document()[key]


class Result(Part):
    """A command's answer. Each has a field `schema_name`, the `schema` key of its document."""

    drawn: ClassVar[Callable[[Result], str] | None] = None
    """What makes HTML of a result; set by the functions of `import nnkit`, as results know no tables."""

    def _repr_html_(self) -> str | None:
        """What a notebook shows."""
        return None if Result.drawn is None else Result.drawn(self)


def _plain(value: object) -> JsonValue:
    if isinstance(value, Part):
        return value.document()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    plain: JsonValue = files.strict(value)
    return plain
