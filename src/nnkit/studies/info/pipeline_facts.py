"""What `nnkit info` says of a dataset's pipeline: if it is linear, if separable, of which rank."""

from __future__ import annotations

from typing import Any

from nnkit.errors import UsageError
from nnkit.surrogates.pipelines import Pipeline, Shape
from nnkit.surrogates.pipelines.analysis import LinearAnalysis, analyse
from nnkit.types import Data

ANSWERS = ("affine", "linear", "separable", "rank", "parameters", "max_error", "output_shape")


def pipeline_facts(dataset: object, data: Data | None) -> dict[str, Any] | None:
    """The pipeline in the dataset's attribute `pipeline`, examined; None where it has none.

    The answers are found numerically on images of the data's shape; without data, of the dataset's
    `image_shape`. `parameters` counts the numbers of the exact operator, `max_error` is how far that is from
    the pipeline. Where it cannot be examined the answers are None, and `not_examined` says why.
    """
    pipeline = getattr(dataset, "pipeline", None)
    if not isinstance(pipeline, Pipeline):
        return None
    shape = _shape(dataset, data)
    facts = {
        "steps": [str(step) for step in pipeline.steps],
        "dtype": pipeline.dtype,
        "backend": pipeline.backend,
        "antialias": pipeline.antialias,
        "input_shape": shape,
    }
    nothing = dict.fromkeys(ANSWERS)
    if shape is None:
        return {**facts, **nothing, "not_examined": "the images are not there, nor is their size known"}
    try:
        return {**facts, **_examined(pipeline, shape), "not_examined": None}
    except UsageError as error:
        return {**facts, **nothing, "not_examined": error.message}


def _shape(dataset: object, data: Data | None) -> Shape | None:
    if data is None:
        return getattr(dataset, "image_shape", None)
    return (data.in_channels, *data.image_size) if data.image_size is not None else None


def _examined(pipeline: Pipeline, shape: Shape) -> dict[str, Any]:
    found = analyse(pipeline, shape)
    return {
        "affine": found.affine,
        "linear": found.linear,
        "separable": found.separable,
        "rank": found.rank,
        "parameters": _num_numbers(found) if found.affine else None,
        "max_error": found.max_error,
        "output_shape": found.output_shape,
    }


def _num_numbers(found: LinearAnalysis) -> int:
    """How many numbers the exact operator has: its factors, or its matrix, and an offset if there is one."""
    parts = [
        found.matrix,
        found.channels,
        found.rows,
        found.cols,
        found.offset if found.offset.any() else None,
    ]
    return sum(part.numel() for part in parts if part is not None)
