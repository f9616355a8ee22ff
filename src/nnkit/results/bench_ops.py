"""The result of `nnkit bench ops`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nnkit.results.base import Interval, Number, Part, Result
from nnkit.results.environment import Environment

Direction = Literal["forward", "backward"]


class OpCell(Part):
    """A convolution of images of `size` × `size` pixels; `ratio` is its time over torch's in paired rounds.

    "backward" is forward and backward. `peak_bytes` is the peak of live tensors.
    """

    name: str
    direction: Direction
    size: int
    n: int
    median_s: Number
    iqr_s: Number
    noisy: bool
    peak_bytes: int
    ratio: Number
    ci95: Interval


class BenchOpsResult(Result):
    """Seconds and peak memory of a convolution by nested loops, by unfold and by torch."""

    schema_name: Literal["nnkit.bench-ops/1"] = Field(
        default="nnkit.bench-ops/1", validation_alias="schema", serialization_alias="schema"
    )
    environment: Environment
    batch: int
    in_channels: int
    out_channels: int
    kernel: int
    device: str
    threads: int
    cells: tuple[OpCell, ...]
