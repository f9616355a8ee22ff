"""One pass over a split without gradients."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from nnkit.data.loaders import EvalLoader
from nnkit.training.devices import autocast
from nnkit.training.masks import output_of
from nnkit.training.metrics import Metrics, batch_sum
from nnkit.training.parts import Parts
from nnkit.types import Batch


def no_op() -> None:
    """Does nothing: the default between batches, without interrupts."""


def evaluate(
    model: nn.Module,
    batches: EvalLoader,
    loss: nn.Module,
    metrics: Metrics,
    *,
    precision: str = "fp32",
    between: Callable[[], None] = no_op,
    parts: Parts | None = None,
) -> Metrics:
    """Feed every batch of the split to `metrics`, in `parts`; the model is in eval mode meanwhile.

    `between` is called before each batch; what it raises ends the evaluation.
    """
    was_training = model.training
    model.eval()
    parts = parts or Parts()
    with torch.inference_mode():
        for batch in batches:
            between()
            for part, output in _outputs(model, batch, parts, precision):
                metrics.add(output, part, batch_sum(loss, loss(output, part.targets), len(part.targets)))
    model.train(was_training)
    return metrics


def _outputs(model: nn.Module, batch: Batch, parts: Parts, precision: str) -> list[tuple[Batch, Tensor]]:
    """The parts of a batch with the model's outputs for them."""
    while True:
        try:
            with autocast(batch.inputs.device, precision):
                found = [(part, output_of(model, part)) for part in parts.split(batch)]
            return [(part, output.to(torch.get_default_dtype())) for part, output in found]
        except Exception as error:
            if not parts.shrink(error, batch):
                raise
