"""The result of `nnkit compare-pooling`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from nnkit.results.base import Document, Interval, Part, Result

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema


class Accuracy(Part):
    """Accuracies in [0, 1], one for each seed, None for a cell that failed; their mean and its interval.

    `ci95` is None for fewer than three values, `mean` for none.
    """

    mean: float | None
    ci95: Interval | None
    values: tuple[float | None, ...]


class PoolingRow(Part):
    """One pooling: the setting `vary` with the `value` that meets the budget, and its accuracies.

    In the document the key of the value is the name of the setting, such as `width`.
    `cells` are the folders of its runs, in the order of the seeds.
    """

    pooling: str
    vary: str
    value: int
    parameters: int
    accuracy: Accuracy
    by_resolution: Mapping[str, Accuracy]
    cells: tuple[str, ...]

    @model_validator(mode="before")
    @classmethod
    def _read_setting(cls, value: object) -> object:
        if not isinstance(value, dict) or "vary" in value:
            return value
        named = [key for key in value if key not in cls.model_fields]
        return {**value, "vary": named[0], "value": value[named[0]]} if named else value

    def document(self) -> Document:
        """The value under the setting's name."""
        document = super().document()
        del document["vary"], document["value"]
        return {"pooling": self.pooling, self.vary: self.value, **document}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """The setting's name is any further key."""
        schema = handler(core_schema)
        resolved = handler.resolve_ref_schema(schema)
        for name in ("vary", "value"):
            del resolved["properties"][name]
            resolved["required"].remove(name)
        resolved["additionalProperties"] = {"type": "integer"}
        return schema

    def __getitem__(self, key: str) -> object:
        """The setting under its own name too."""
        return self.value if key == self.vary else super().__getitem__(key)


class Comparison(Part):
    """The paired difference a - b in mean accuracy over `pairs` seeds, with what it says.

    `differences` are those of each seed, None where a cell failed. `ci95`, `better` and `verdict` are None
    for fewer than three pairs; `better` is also None where the interval holds zero.
    """

    a: str
    b: str
    difference: float | None
    ci95: Interval | None
    pairs: int
    differences: tuple[float | None, ...]
    better: str | None
    verdict: str | None


class FailedCell(Part):
    """A cell that failed, and the exit code that its error would have had."""

    pooling: str
    seed: int
    error: str
    exit_code: int


class ComparePoolingResult(Result):
    """What a comparison came to. Accuracies and differences are shares in [0, 1], on the test split.

    `results` has a row per pooling. `winner` is None where no pooling is shown to be better than every other.
    """

    schema_name: Literal["nnkit.compare-pooling/1"] = Field(
        default="nnkit.compare-pooling/1", validation_alias="schema", serialization_alias="schema"
    )
    run_dir: Path
    dataset: str
    model: str
    vary: str
    epochs: int
    seeds: tuple[int, ...]
    budget: int
    results: tuple[PoolingRow, ...]
    comparisons: tuple[Comparison, ...]
    winner: str | None
    failed: tuple[FailedCell, ...]
    seconds: float
