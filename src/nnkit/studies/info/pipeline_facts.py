"""Facts of a dataset's pipeline for `nnkit info`: whether it is linear or separable, and its rank."""

from __future__ import annotations

from nnkit.errors import UsageError
from nnkit.results.info import PipelineInfo
from nnkit.surrogates.pipelines import Pipeline, Shape
from nnkit.surrogates.pipelines.analysis import LinearAnalysis, analyse
from nnkit.types import Data


def pipeline_facts(dataset: object, data: Data | None) -> PipelineInfo | None:
    """The pipeline in the dataset's attribute `pipeline`, examined; None where it has none.

    The answers are found numerically on images of the data's shape; without data, of the dataset's
    `image_shape`. `parameters` is the number of values of the exact operator, `max_error` is how far that is
    from the pipeline. Where it cannot be examined the answers are None, and `not_examined` says why.
    """
    pipeline = getattr(dataset, "pipeline", None)
    if not isinstance(pipeline, Pipeline):
        return None
    shape = _shape(dataset, data)
    if shape is None:
        return _described(pipeline, None, None, "the images are not there, nor is their size known")
    try:
        return _described(pipeline, shape, analyse(pipeline, shape), None)
    except UsageError as error:
        return _described(pipeline, shape, None, error.message)


def _shape(dataset: object, data: Data | None) -> Shape | None:
    if data is None:
        return getattr(dataset, "image_shape", None)
    return (data.in_channels, *data.image_size) if data.image_size is not None else None


def _described(
    pipeline: Pipeline, shape: Shape | None, found: LinearAnalysis | None, not_examined: str | None
) -> PipelineInfo:
    return PipelineInfo(
        steps=tuple(str(step) for step in pipeline.steps),
        dtype=pipeline.dtype,
        backend=pipeline.backend,
        antialias=pipeline.antialias,
        input_shape=shape,
        affine=found.affine if found else None,
        linear=found.linear if found else None,
        separable=found.separable if found else None,
        rank=found.rank if found else None,
        parameters=_num_parameters(found) if found and found.affine else None,
        max_error=found.max_error if found else None,
        output_shape=found.output_shape if found else None,
        not_examined=not_examined,
    )


def _num_parameters(found: LinearAnalysis) -> int:
    """Parameters of the exact operator: its factors, or its matrix, and an offset if there is one."""
    parts = [
        found.matrix,
        found.channels,
        found.rows,
        found.cols,
        found.offset if found.offset.any() else None,
    ]
    return sum(part.numel() for part in parts if part is not None)
