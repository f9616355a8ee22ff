"""The result of `nnkit info`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, JsonValue

from nnkit.results.base import Number, Part, Result

Size = tuple[int, int]
Shape = tuple[int, int, int]


class SettingInfo(Part):
    """A component's setting; `default` is None where one is required, `help` empty where nothing is said."""

    name: str
    type: str
    required: bool
    default: JsonValue
    help: str


class BucketInfo(Part):
    """One bucket in an epoch; `fill` is images over batch slots, in [0, 1]."""

    height: int
    width: int
    num_images: int
    num_batches: int
    fill: float


class ForecastInfo(Part):
    """What an epoch of training will cost in batches of up to `batch_size` images; see `Forecast`."""

    batch_size: int
    num_buckets: int
    buckets: tuple[BucketInfo, ...]
    num_images: int
    num_batches: int
    num_dropped: int
    num_merged: int
    fill: float
    processed_pixels: int
    padded_pixels: int
    padded_share: float


class PipelineInfo(Part):
    """A dataset's pipeline, examined numerically.

    `parameters` counts the exact operator's, `max_error` is how far it is from the pipeline. Where it cannot
    be examined the answers are None, and `not_examined` says why.
    """

    steps: tuple[str, ...]
    dtype: str
    backend: str
    antialias: bool
    input_shape: Shape | None
    affine: bool | None
    linear: bool | None
    separable: bool | None
    rank: int | None
    parameters: int | None
    max_error: Number | None
    output_shape: Shape | None
    not_examined: str | None


class DatasetFacts(Part):
    """What the loaded data is. `image_size` is None for several sizes; `sizes` counts them by split.

    `class_counts` counts the images of each class by split; empty for a transform.
    """

    task: str
    default_model: str
    classes: tuple[str, ...]
    in_channels: int
    image_size: Size | None
    target_channels: int | None
    target_size: Size | None
    splits: Mapping[str, int]
    sizes: Mapping[str, Mapping[str, int]]
    class_counts: Mapping[str, Mapping[str, int]]
    forecast: ForecastInfo | None
    pipeline: PipelineInfo | None
    notes: tuple[str, ...]


class MissingFacts(Part):
    """Why the data could not be loaded."""

    error: str
    hint: str
    pipeline: PipelineInfo | None


class InfoResult(Result):
    """A component: who provides it, its settings, and of a dataset its facts."""

    schema_name: Literal["nnkit.info/1"] = Field(
        default="nnkit.info/1", validation_alias="schema", serialization_alias="schema"
    )
    group: str
    name: str
    provider: str
    version: str
    target: str
    file: str | None
    line: int | None
    docstring: str
    settings: tuple[SettingInfo, ...]
    facts: DatasetFacts | MissingFacts | None = None
