"""One pass over a split without gradients."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from nnkit.data.loaders import EvalLoader
from nnkit.training.devices import autocast
from nnkit.training.masks import output_of
from nnkit.training.metrics import Metrics, batch_sum


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
) -> Metrics:
    """Feed every batch of the split to `metrics`; the model is in eval mode meanwhile.

    `between` is called before each batch; what it raises ends the evaluation.
    """
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        for batch in batches:
            between()
            with autocast(batches.device, precision):
                output = output_of(model, batch)
            output = output.to(torch.get_default_dtype())
            metrics.add(output, batch, batch_sum(loss, loss(output, batch.targets), len(batch.targets)))
    model.train(was_training)
    return metrics
