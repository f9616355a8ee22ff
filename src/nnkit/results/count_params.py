"""The result of `nnkit count-params`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nnkit.results.base import Part, Result

Shape = tuple[int, int, int]
"""Channels, height and width of an image."""


class LayerCount(Part):
    """One layer. `parameters` and `buffers` are values held, tied ones at the first layer that has them."""

    name: str
    type: str
    parameters: int
    trainable: int
    frozen: int
    buffers: int
    flops: int
    activation_bytes: int
    output_shape: tuple[int, ...] | None


class ModelCount(Part):
    """One model: `total` = `trainable` + `frozen` parameters; `flops` and `activation_bytes` are per image.

    See `nnkit.studies.count_params.cost.Cost` for what they count. `input` is the image's (channels, height,
    width).
    """

    spec: str
    total: int
    trainable: int
    frozen: int
    buffers: int
    flops: int
    activation_bytes: int
    input: Shape
    layers: tuple[LayerCount, ...]


class MatchCount(Part):
    """The closest `value` of `parameter`; `difference` = `total` - `target_total`, `tolerance` is a share."""

    target: str
    target_total: int
    parameter: str
    value: int
    total: int
    difference: int
    tolerance: float
    within_tolerance: bool


class CountResult(Result):
    """The result of `count-params`. With a match, the model found comes first, then its target."""

    schema_name: Literal["nnkit.count-params/1"] = Field(
        default="nnkit.count-params/1", validation_alias="schema", serialization_alias="schema"
    )
    models: tuple[ModelCount, ...]
    match: MatchCount | None = None
