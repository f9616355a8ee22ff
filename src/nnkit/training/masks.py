"""Masks of padded batches; a model that takes none is refused before the run begins."""

from __future__ import annotations

import contextlib
import inspect

import numpy as np
import torch
from torch import Tensor, nn

from nnkit.data.loaders import TrainLoader
from nnkit.errors import UsageError
from nnkit.training.determinism import refusal
from nnkit.training.memory import is_out_of_memory
from nnkit.training.torch_errors import is_torchs
from nnkit.types import Batch, Data


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
    # Other errors are reported better by the first step.
    with contextlib.suppress(RuntimeError, ValueError, TypeError, IndexError), torch.inference_mode():
        mask = torch.ones((1, 1, *shape[2:]), dtype=torch.bool, device=train.device)
        model.eval()(torch.zeros(shape, device=train.device), mask=mask)
    model.train(was_training)


def check_takes_sizes(model: nn.Module, name: str, data: Data, device: torch.device) -> None:
    """`UsageError` where an image of any split is too small for the model: it is tried on blank ones.

    In a padded batch such an image would make the loss NaN, and in evaluation it would end the run after its
    first epoch. A model that does not take the largest image either fails in the first step, with a better
    error.
    """
    splits = {key: split.sizes for key, split in data.splits.items() if len(split)}
    if data.image_size is not None or not splits:
        return
    sizes = np.concatenate(list(splits.values()))
    # By its shorter side: one of 20,000×1 pixels has the largest area, and is too small all the same.
    largest = sizes[np.lexsort((sizes.max(axis=1), sizes.min(axis=1)))[-1]].tolist()
    if _refusal(model, data, largest, device) is not None:
        return
    for axis in (0, 1):
        smallest = sizes[sizes[:, axis].argmin()].tolist()
        if (cause := _refusal(model, data, smallest, device)) is not None:
            where = ", ".join(key for key, found in splits.items() if (found == smallest).all(axis=1).any())
            raise UsageError(
                f'the model "{name}" takes no image of {smallest[0]}×{smallest[1]} pixels, and {where} '
                f"has one{cause and f': {cause}'}",
                hint="resize all with --bucketing resize_policy=resize, remove the small ones, or use "
                "another model",
            )


def _refusal(model: nn.Module, data: Data, size: list[int], device: torch.device) -> str | None:
    """Why the model takes no blank image of this size, "" where the words are torch's; None where it does."""
    was_training = model.training
    try:
        with torch.inference_mode():
            output = model.eval()(torch.zeros((1, data.in_channels, *size), device=device))
    except UsageError as error:
        return error.message
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        if is_out_of_memory(error) or (isinstance(error, RuntimeError) and refusal(error)):
            return None  # the first step tells better
        return "" if is_torchs(error) or not str(error) else str(error).splitlines()[0]
    finally:
        model.train(was_training)
    finite = not isinstance(output, Tensor) or bool(output.isfinite().all())
    return None if finite else "its output is not finite"
