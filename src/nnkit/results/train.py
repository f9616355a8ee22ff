"""The result of `nnkit train`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, JsonValue, model_validator

from nnkit import files
from nnkit.results.base import Document, Number, Part, Result
from nnkit.results.metrics import SplitMetrics

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

_RECORD = ("train_", "val_")


class BestMetrics(Part):
    """Metrics of the best epoch: `validation` as `nnkit evaluate` names them, `record` as `train_*`, `val_*`.

    In the document both are in one object.
    """

    validation: SplitMetrics
    record: Mapping[str, Number]

    @model_validator(mode="before")
    @classmethod
    def _apart(cls, value: object) -> object:
        if not isinstance(value, dict) or "record" in value:
            return value
        record = {key: item for key, item in value.items() if key.startswith(_RECORD)}
        return {"validation": {key: value[key] for key in value if key not in record}, "record": record}

    def __getitem__(self, key: str) -> object:
        """A metric of either, by its name."""
        return self.record[key] if key in self.record else self.validation[key]

    def document(self) -> Document:
        """Both in one object."""
        return {**self.validation.document(), **files.strict(self.record)}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """The keys of the validation metrics, and those of the record."""
        schema = handler(core_schema)
        resolved = handler.resolve_ref_schema(schema)
        apart = resolved.pop("properties")
        del resolved["required"]
        resolved["anyOf"] = apart["validation"]["anyOf"]
        resolved["patternProperties"] = {"^(train|val)_": apart["record"]["additionalProperties"]}
        return schema


class Best(Part):
    """The epoch of the best weights, counted from 1, and the monitored `metric`, such as "val_accuracy"."""

    epoch: int
    metric: str
    metrics: BestMetrics

    @property
    def value(self) -> float | None:
        """The monitored metric at that epoch."""
        return self.metrics.record.get(self.metric)


class Solver(Part):
    """How the weights were found: `name`, and of a least-squares fit its seconds and number of images.

    `facts` are further values of the fit; in the document they are beside the other keys.
    """

    name: str
    solver_s: float | None = None
    images: int | None = None
    notes: tuple[str, ...] | None = None
    facts: Mapping[str, JsonValue] = {}

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, value: object) -> object:
        if not isinstance(value, dict) or "facts" in value:
            return value
        own = {key: value[key] for key in value if key in cls.model_fields}
        return {**own, "facts": files.strict({key: value[key] for key in value if key not in own})}

    def document(self) -> Document:
        """The facts beside the other keys."""
        document = super().document()
        del document["facts"]
        return {**document, **self.facts}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """A fact is any further key."""
        schema = handler(core_schema)
        del handler.resolve_ref_schema(schema)["properties"]["facts"]
        return schema


class TrainResult(Result):
    """What a training run came to. Epochs count from 1; metrics are of the best epoch's weights."""

    schema_name: Literal["nnkit.train/1"] = Field(
        default="nnkit.train/1", validation_alias="schema", serialization_alias="schema"
    )
    run_dir: Path
    dataset: str
    model: str
    loss: str
    parameters: int
    epochs: int
    stopped_by: str
    best: Best
    test: SplitMetrics | None
    solver: Solver
    seconds: Number
    images_per_s: Number
    seed: int
    device: str
