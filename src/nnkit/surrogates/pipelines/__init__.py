"""Pipelines of image transforms: read from text, run by torchvision, and analysed for linearity.

A pipeline makes the targets of a transform task, so each of its steps always does the same to an image: a
step with chance in it is refused. The text is a named pipeline (`reference`) or steps between commas:
`resize(28),grayscale,hflip,vflip`. `STEPS` lists the steps.
"""

from nnkit.surrogates.pipelines.executions import EXECUTIONS, Execution, How, execute
from nnkit.surrogates.pipelines.parse import PIPELINES, parse_pipeline
from nnkit.surrogates.pipelines.pipeline import Backend, DType, Pipeline, Shape
from nnkit.surrogates.pipelines.steps import STEPS, Step, StepKind

__all__ = [
    "EXECUTIONS",
    "PIPELINES",
    "STEPS",
    "Backend",
    "DType",
    "Execution",
    "How",
    "Pipeline",
    "Shape",
    "Step",
    "StepKind",
    "execute",
    "parse_pipeline",
]
