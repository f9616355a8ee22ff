"""Out of memory in training: an error that names a batch size that fits, found by trying."""

from __future__ import annotations

import logging
import math

import torch

from nnkit.data.bucketing import BucketPlan
from nnkit.data.loaders import EvalLoader, TrainLoader
from nnkit.errors import NnkitError
from nnkit.studies.train.experiment import Experiment, evaluation_batch_size, start_state
from nnkit.training.devices import autocast
from nnkit.training.loop import train_step
from nnkit.training.masks import output_of
from nnkit.training.memory import fitting_batch_size
from nnkit.types import Batch

logger = logging.getLogger("nnkit")


def out_of_memory(experiment: Experiment) -> NnkitError:
    """The error to raise. Tries smaller and smaller batches, which changes the weights."""
    x, asked = experiment, experiment.config.batch_size
    logger.warning("out of memory: trying smaller batches")
    per_step = max(len(batch.indices) for batch in _epoch(x, x.train))
    longest, first = math.ceil(per_step / x.config.accumulate), asked
    while first // 2 >= longest:  # the same batches
        first //= 2
    try:
        fits = fitting_batch_size(first, lambda batch_size: _try(x, batch_size))
    except Exception as error:
        cause = f"{type(error).__name__}: {error}".splitlines()[0]
        hint = f"lower --batch-size; smaller ones could not be tried: {cause}"
    else:
        hint = (
            f"--batch-size {fits} fits: the largest batches of an epoch were tried; "
            "or --on-oom shrink, which keeps the steps as they are"
        )
        if fits == first:
            hint = "one step fits by itself: close what else takes memory, or lower --batch-size"
        if not fits:
            hint = "not one image fits: take a smaller model, or smaller images"
    return NnkitError(f"out of memory on {x.device} with batches of {asked}", hint=hint)


def _try(x: Experiment, batch_size: int) -> None:
    """Train on the largest batch of an epoch and evaluate the largest of validation, not compiled."""
    train = x.train.with_batch_size(batch_size * x.config.accumulate)
    batch = _largest(train, _epoch(x, train))
    x.model.train()
    state = start_state(x)
    for _ in range(2):  # Adam's moments are made at the end of the first step
        train_step(state, x.model, x.train_loss, batch, x.recipe, x.device)
    if len(x.val.split):
        val = x.val.with_batch_size(evaluation_batch_size(batch_size))
        x.model.eval()
        with torch.inference_mode(), autocast(x.device, x.config.precision):
            output_of(x.model, _largest(val, val.plan()))


def _epoch(x: Experiment, batches: TrainLoader) -> BucketPlan:
    return batches.plan(epoch=1, seed=x.config.seed)


def _largest(batches: TrainLoader | EvalLoader, plan: BucketPlan) -> Batch:
    """The batch of most pixels."""
    pixels = [len(batch.indices) * batch.height * batch.width for batch in plan]
    place = pixels.index(max(pixels))
    return next(batches.load(plan[place : place + 1]))
