"""Why a model and a loss cannot train on a dataset, in words of the user's components and shapes."""

from __future__ import annotations

import torch

from nnkit.data.loaders import EvalLoader
from nnkit.studies.train.experiment import Experiment
from nnkit.training.masks import output_of
from nnkit.training.torch_errors import is_torchs

Refusal = (RuntimeError, ValueError, TypeError, IndexError)
"""What torch and components raise for shapes and types that they do not take."""
NUM_TRIED = 7


def cause_of(error: Exception, x: Experiment) -> str:
    """What did not go together in the first step.

    A component's own sentence is kept. Where the words are torch's, a few training images are tried again:
    the model or the loss is named, with the shapes that it does not take.
    """
    own = f"{type(error).__name__}: {error}".splitlines()[0]
    if not is_torchs(error):
        return own
    # A few images: shapes of one might be broadcast where those of a batch are not.
    split = x.data.splits["train"].sample(NUM_TRIED)
    batch = next(iter(EvalLoader(x.data, split, batch_size=NUM_TRIED, device=x.device)))
    images, targets = tuple(batch.inputs.shape), tuple(batch.targets.shape)
    with torch.no_grad():
        try:
            output = output_of(x.model.eval(), batch)
        except Refusal:
            return f"the model does not take images of shape {images}"
        try:
            x.loss(output, batch.targets)
        except Refusal:
            made = f"outputs of shape {tuple(output.shape)} from the model"
            return f"the loss does not take {made} with targets of shape {targets}, {batch.targets.dtype}"
    return own
