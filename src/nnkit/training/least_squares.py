"""Training without gradients: a model's own fit, on the training split only, reported as one epoch."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nnkit.data.loaders import EvalLoader
from nnkit.errors import NnkitError, UsageError
from nnkit.training.evaluation import evaluate, no_op
from nnkit.training.loop import TrainState, require_finite
from nnkit.training.memory import is_out_of_memory
from nnkit.training.metric_components import NamedMetric
from nnkit.training.metrics import flat, make_metrics
from nnkit.types import Data, EpochResult, LeastSquaresModel, PreparedModel

logger = logging.getLogger("nnkit")
PREPARE_IMAGES = 500
Fit = Callable[[Tensor, Tensor], Mapping[str, Any]]
_CPU = torch.device("cpu")


def fit_least_squares(model: nn.Module, data: Data) -> dict[str, Any]:
    """Fit the model on training images; what there is to say of it, `images` and `solver_s` among it.

    `solver_s` are the seconds of the fit alone. It runs on the CPU wherever the model is: it needs float64.
    Raises `UsageError` where the model or the task has no such fit, or it does not work out.
    """
    found = fit_of(model)
    if found is None or data.task != "transform":
        raise UsageError(
            "solver=least-squares fits images to images, and this "
            + ("dataset has classes" if data.task != "transform" else "model has no fit_least_squares"),
            hint="leave out --solver least-squares",
        )
    fit, num_images = found
    inputs, targets = _images(data, num_images)
    started = time.perf_counter()
    facts = _call(fit, inputs, targets)
    return {
        "name": "least-squares",
        "solver_s": time.perf_counter() - started,
        "images": len(inputs),
        **facts,
    }


def fit_of(model: nn.Module) -> tuple[Fit, int] | None:
    """The model's own fit, and how many images it asks for; None where it has none.

    Models written for 0.1 call these `fit_closed_form` and `closed_form_images`, which are taken for one
    release more.
    """
    if isinstance(model, LeastSquaresModel):
        return model.fit_least_squares, model.least_squares_images
    fit, num_images = getattr(model, "fit_closed_form", None), getattr(model, "closed_form_images", None)
    return (fit, num_images) if callable(fit) and isinstance(num_images, int) else None


def prepare(model: nn.Module, data: Data) -> dict[str, Any]:
    """Before training by gradient, show a model that asks for it some training images."""
    if not isinstance(model, PreparedModel) or data.task != "transform":
        return {"name": "gradient"}
    return {"name": "gradient", **_call(model.prepare_for_training, *_images(data, PREPARE_IMAGES))}


def one_epoch(
    state: TrainState,
    loss: nn.Module,
    data: Data,
    train: EvalLoader,
    val: EvalLoader,
    solved: Mapping[str, Any],
    *,
    precision: str = "fp32",
    between: Callable[[], None] = no_op,
    components: Sequence[NamedMetric] = (),
) -> Iterator[EpochResult]:
    """The epoch of a fitted model: its loss on the training split, and its validation metrics."""
    started = time.perf_counter()
    require_finite(state)
    trained, validated = make_metrics(data, train.device), make_metrics(data, val.device, components)
    evaluate(state.model, train, loss, trained, precision=precision, between=between)
    evaluate(state.model, val, loss, validated, precision=precision, between=between)
    measured, seconds = validated.result(), float(solved["solver_s"])
    state.epoch = 1
    yield EpochResult(
        epoch=1,
        step=0,
        metrics={"train_loss": trained.result()["loss"], **flat(measured, "val")},
        validation=measured,
        train_s=seconds,
        seconds=seconds + time.perf_counter() - started,
        images_per_s=solved["images"] / seconds if seconds else 0.0,
        higher_is_better={f"val_{key}": each.higher_is_better for each in components for key in each.keys},
    )


def _images(data: Data, num_images: int) -> tuple[Tensor, Tensor]:
    """Inputs and targets of training images, evenly spaced, as the model is fed them, on the CPU."""
    split = data.splits["train"].sample(num_images)
    batch = next(iter(EvalLoader(data, split, batch_size=max(1, len(split)), device=_CPU)))
    return batch.inputs, batch.targets


def _call(method: Callable[[Tensor, Tensor], Mapping[str, Any]], *images: Tensor) -> dict[str, Any]:
    try:
        with torch.no_grad():
            facts = dict(method(*images))
    except NnkitError:
        raise
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        if is_out_of_memory(error):
            raise
        cause = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UsageError(
            f"the model cannot be fitted to {len(images[0])} images of this dataset: {cause}",
            hint="give it more images, or leave out --solver least-squares; --debug shows the traceback",
        ) from error
    _say(facts.get("notes", ()))
    return facts


def _say(notes: Iterable[str]) -> None:
    for note in notes:
        logger.info("%s", note)
