"""The metrics of a split, by the data's task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias

from pydantic import Field, model_validator

from nnkit.results.base import Document, Number, Part

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

FidelityClass = Literal["exact", "half-level", "approximate"]
ByResolution = Mapping[str, Number]
"""A value for each original resolution, "32x32": height × width; of many, for each range of them by area,
"32x32 to 64x48"."""


class _Measured(Part):
    """Metrics of a split. `components` are those that `--metric` names; in the document they are beside the
    other keys."""

    components: Mapping[str, Number] = {}

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, value: object) -> object:
        if not isinstance(value, dict) or "components" in value:
            return value
        names = {name for key, field in cls.model_fields.items() for name in (key, field.validation_alias)}
        own = {key: value[key] for key in value if key in names}
        more = {key: item for key, item in value.items() if key not in own and _is_number(item)}
        return {**own, "components": more}

    def document(self) -> Document:
        """The components beside the other keys."""
        document = super().document()
        found = document.pop("components")
        assert isinstance(found, dict)
        return {**document, **found}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """A component is any further key with a number."""
        schema = handler(core_schema)
        resolved = handler.resolve_ref_schema(schema)
        resolved["additionalProperties"] = resolved["properties"].pop("components")["additionalProperties"]
        return schema


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


class Classification(_Measured):
    """Mean loss and share of right answers; by resolution, and the images of each, where these differ.

    `macro_f1` is None in runs of versions that did not measure it.
    """

    loss: Number
    accuracy: Number
    macro_f1: Number | None = None
    accuracy_by_resolution: ByResolution | None = None
    loss_by_resolution: ByResolution | None = None
    images_by_resolution: Mapping[str, int] | None = None


class Levels(Part):
    """Pixels whose 8-bit value differs from the reference's; of them, those near a rounding boundary."""

    differing: int
    near_boundary: int


class Fidelity(Part):
    """The fidelity class, None where nothing was measured, and the errors that it is judged by."""

    class_: FidelityClass | None = Field(validation_alias="class", serialization_alias="class")
    max_abs_error: Number
    mae_sum: Number


class Transform(_Measured):
    """How far images are from their targets; `psnr` in dB, `mae_sum` summed over an image's values."""

    loss: Number
    mse: Number
    mae_sum: Number
    max_abs_error: Number
    psnr: Number
    cosine_accuracy: Number
    levels: Levels
    fidelity: Fidelity


SplitMetrics: TypeAlias = Classification | Transform
