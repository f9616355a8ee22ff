"""Padded batches: a model is given their mask, and one that takes none is found before a run begins."""

from __future__ import annotations

import contextlib
import inspect

import torch
from torch import Tensor, nn

from nnkit.data.loaders import TrainLoader
from nnkit.errors import UsageError
from nnkit.types import Batch


def output_of(model: nn.Module, batch: Batch) -> Tensor:
    """What a model makes of a batch; of a padded one, with its mask."""
    output: Tensor = model(batch.inputs) if batch.mask is None else model(batch.inputs, mask=batch.mask)
    return output


def check_takes_mask(model: nn.Module, name: str, train: TrainLoader) -> None:
    """`UsageError` where the plan pads batches and the model, or a part of it, takes no mask.

    The model is tried on one blank image in eval mode: its forward may take a mask that its pooling does not.
    """
    if not train.pads:
        return
    if "mask" not in inspect.signature(model.forward).parameters:
        raise UsageError(
            f'the model "{name}" takes no mask, and images of different sizes are padded to share batches',
            hint="use a model that takes a mask, such as varres-net; or --bucketing resize_policy=resize; "
            "or exact buckets, with no tolerance, max_buckets or leftovers=merge",
        )
    first = train.plan()[0]
    shape = (1, train.split.images.channels, first.height, first.width)
    was_training = model.training
    # Whatever else is wrong with it, the first step tells better.
    with contextlib.suppress(RuntimeError, ValueError, TypeError, IndexError), torch.inference_mode():
        mask = torch.ones((1, 1, *shape[2:]), dtype=torch.bool, device=train.device)
        model.eval()(torch.zeros(shape, device=train.device), mask=mask)
    model.train(was_training)
