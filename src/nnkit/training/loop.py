"""The training loop: a generator of steps and epochs that prints nothing and saves nothing.

Everything random in a step (augmentation, dropout) is drawn from a generator seeded by (seed, epoch, step),
and the order of the batches follows from (seed, epoch): the state of a run holds no random state at all, and
the loop goes on from any step.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from nnkit.data.bucketing import Order
from nnkit.data.loaders import EvalLoader, TrainLoader
from nnkit.errors import DivergedError, UsageError
from nnkit.sums import sum_type
from nnkit.training import random_state
from nnkit.training.devices import autocast
from nnkit.training.evaluation import evaluate, no_op
from nnkit.training.masks import output_of
from nnkit.training.metric_components import NamedMetric
from nnkit.training.metrics import batch_sum, flat, make_metrics, per_image
from nnkit.training.parts import Parts
from nnkit.training.stepping import needs_closure, rate_of
from nnkit.types import Batch, Data, EpochResult, StepResult

Explain = Callable[[str, Exception], None]
"""Told what raised an error, "optimizer" or "schedule", and the error; it may raise one that says more."""

_Tensors = tuple[Tensor, ...] | list[Tensor]

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Recipe:
    """How to train: what the loop needs of the configuration."""

    epochs: int
    seed: int = 0
    precision: str = "fp32"
    clip: float | None = None
    order: Order = "interleaved"


@dataclass
class EpochProgress:
    """How far an epoch is, and what it adds up on the device; reading that synchronises, once per epoch.

    `seconds` are those of earlier processes that worked at this epoch.
    """

    loss: Tensor
    correct: Tensor
    batches: int = 0
    num_images: int = 0
    learning_rate: float = 0.0
    data_wait_s: float = 0.0
    seconds: float = 0.0
    started: float = field(default_factory=time.perf_counter)

    @classmethod
    def of_new_epoch(cls, device: torch.device) -> EpochProgress:
        """That of an epoch whose first batch comes next."""
        zero = torch.zeros((), dtype=sum_type(device), device=device)
        return cls(zero, zero.clone())

    @property
    def elapsed_s(self) -> float:
        """Seconds that this epoch has taken so far."""
        return self.seconds + time.perf_counter() - self.started


def _nothing_more(what: str, error: Exception) -> None:
    """Leave an error as it is."""


@dataclass
class TrainState:
    """All that changes as a run goes on. `epoch` counts finished epochs, `step` finished optimizer steps.

    `progress` is what the epoch under way has added up; None between two epochs. `parts` and `eval_parts` say
    in how many parts a batch is trained on and evaluated. `in_step`: a step is under way, so that what broke
    it off leaves a state of which some is before it and some after. `explain` is told of an error that the
    optimizer or the schedule raises.
    """

    model: nn.Module
    optimizer: Optimizer
    schedule: LRScheduler | None = None
    average: AveragedModel | None = None
    epoch: int = 0
    step: int = 0
    progress: EpochProgress | None = None
    in_step: bool = False
    parts: Parts = field(default_factory=Parts)
    eval_parts: Parts = field(default_factory=lambda: Parts(what="evaluation"))
    explain: Explain = _nothing_more
    needs_closure: bool = field(init=False)

    def __post_init__(self) -> None:
        self.needs_closure = needs_closure(type(self.optimizer))

    @property
    def eval_model(self) -> nn.Module:
        """The model to evaluate and keep: the average of the weights where one is kept."""
        return self.average.module if self.average is not None else self.model


@dataclass(frozen=True)
class _Flag:
    """Whether what a step made and left is finite, still on the device, and which step that was."""

    loss: Tensor
    outputs: Tensor
    weights: Tensor
    epoch: int
    step: int


def make_ema(model: nn.Module, decay: float) -> AveragedModel | None:
    """An exponential moving average of the weights and buffers; None for a decay of 0.

    Whole numbers, such as counters and places, are copied: torch's average of them rounds down.
    """
    if decay == 0:
        return None
    average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]

    def update(averaged: _Tensors, current: _Tensors, count: Tensor | int) -> None:
        if averaged[0].is_floating_point():
            average(averaged, current, count)
        else:
            torch._foreach_copy_(averaged, current)

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)


def fit(
    state: TrainState,
    forward: nn.Module,
    loss: nn.Module,
    data: Data,
    train: TrainLoader,
    val: EvalLoader,
    recipe: Recipe,
    *,
    between: Callable[[], None] = no_op,
    val_loss: nn.Module | None = None,
    components: Sequence[NamedMetric] = (),
) -> Iterator[StepResult | EpochResult]:
    """Train from `state` to the last epoch; yield each step and each epoch.

    `val_loss` is the loss of validation where it is another; `components` are metrics of it.

    `forward` is the model as it is called (compiled or not); `state` may be read and saved at any yield,
    after `require_finite` at a step's. `between` is called before each validation batch and may raise.
    `DivergedError` when a loss, a weight or a validation metric is not finite: found by reading the flag of
    the step before, so that the device never waits, at most one step late.
    """
    while state.epoch < recipe.epochs:
        epoch = state.epoch + 1
        forward.train()
        if state.progress is None:
            state.progress = EpochProgress.of_new_epoch(train.device)
        sums = state.progress
        flag: _Flag | None = None
        plan = train.plan(epoch=epoch, seed=recipe.seed, order=recipe.order)
        batches = train.load(plan, start=sums.batches)
        for number in range(sums.batches, len(plan)):
            waited_from = time.perf_counter()
            seed_step(recipe.seed, epoch, number, train.device)
            batch = next(batches)
            sums.data_wait_s += time.perf_counter() - waited_from
            sums.learning_rate = rate = rate_of(state.optimizer)
            state.in_step = True
            value, output = train_step(state, forward, loss, batch, recipe, train.device)
            _add(sums, loss, value, output, batch)
            _check_finite(flag)
            shown = per_image(loss, value, len(batch.targets))
            done = StepResult(epoch, state.step, shown, len(batch.targets), rate)
            state.in_step = False
            yield done
            outputs = output.isfinite().all()
            flag = _Flag(value.isfinite(), outputs, finite_weights(state.model), epoch, state.step)
        _check_finite(flag)
        yield _finish_epoch(state, val_loss or loss, data, val, recipe, sums, between, components)


def finite_weights(model: nn.Module) -> Tensor:
    """Whether every weight and buffer is finite: a bool tensor on the model's device, without waiting for it.

    Buffers count too: running statistics that are not finite spoil every later evaluation.
    """
    weights = [
        p.detach()
        for p in (*model.parameters(), *model.buffers())
        if p.numel() and (p.is_floating_point() or p.is_complex())
    ]
    # One fused kernel for all weights; the largest magnitude cannot overflow as a sum of squares can.
    largest = torch._foreach_norm(weights, math.inf)
    return torch.stack([norm.float() for norm in largest]).isfinite().all()


def require_finite(state: TrainState) -> None:
    """`DivergedError` unless every weight is finite; synchronises. Ask it before saving between steps."""
    if not bool(finite_weights(state.model)):
        raise _diverged("a weight or buffer", state.epoch + 1, state.step)


def seed_step(seed: int, epoch: int, number: int, device: torch.device = _CPU) -> None:
    """Seed torch's default generators, of the CPU and of the device, for one step of one epoch."""
    mixed = hash((seed, epoch, number)) & (2**63 - 1)  # of ints alone: the same in every process
    random_state.seed(mixed, device)


def train_step(
    state: TrainState, forward: nn.Module, loss: nn.Module, batch: Batch, recipe: Recipe, device: torch.device
) -> tuple[Tensor, Tensor]:
    """One optimizer step; the loss and the output before it."""
    if state.needs_closure:
        value, output = _line_search(state, forward, loss, batch, recipe, device)
    else:
        value, output = _gradients(state, forward, loss, batch, recipe, device)
        if recipe.clip is not None:
            nn.utils.clip_grad_norm_(state.model.parameters(), recipe.clip)
        try:
            state.optimizer.step()
        except Exception as error:
            state.explain("optimizer", error)
            raise
    if state.schedule is not None:
        _step_schedule(state, state.schedule)
    if state.average is not None:
        state.average.update_parameters(state.model)
    state.step += 1
    return value.detach(), output.detach()


def _step_schedule(state: TrainState, schedule: LRScheduler) -> None:
    try:
        schedule.step()
    except Exception as error:
        state.explain("schedule", error)
        raise


def _gradients(
    state: TrainState, forward: nn.Module, loss: nn.Module, batch: Batch, recipe: Recipe, device: torch.device
) -> tuple[Tensor, Tensor]:
    """The loss and the output of a batch, detached; the weights have its gradients.

    In several parts, each part's mean loss counts by its share of the images, so that gradients add up to the
    whole batch's; with batch norm they do not, since each part is normalised by itself. Where memory runs out
    and parts may shrink, the step begins again as if it had not begun.
    """
    before = _Before(state.model, device) if state.parts.shrinks else None
    while True:
        state.optimizer.zero_grad(set_to_none=True)
        try:
            return _add_up(state.parts.split(batch), forward, loss, recipe, device)
        except Exception as error:
            if before is None or not state.parts.shrink(error, batch):
                raise
            before.restore(state.model)


def _add_up(
    parts: list[Batch], forward: nn.Module, loss: nn.Module, recipe: Recipe, device: torch.device
) -> tuple[Tensor, Tensor]:
    if len(parts) == 1:
        value, output = _compute(forward, loss, parts[0], recipe, device)
        value.backward()  # type: ignore[no-untyped-call]
        return value.detach(), output.detach()
    num_images = sum(len(part.targets) for part in parts)
    values, outputs = [], []
    for part in parts:
        value, output = _compute(forward, loss, part, recipe, device)
        weighted = batch_sum(loss, value, len(part.targets))
        value = weighted if weighted is value else weighted / num_images
        value.backward()  # type: ignore[no-untyped-call]
        values.append(value.detach())
        outputs.append(output.detach())
    return torch.stack(values).sum(), torch.cat(outputs)


class _Before:
    """What a forward pass changes beside gradients: buffers, as batch norm's, and the random numbers."""

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self._buffers = [buffer.clone() for buffer in model.buffers()]
        self._random = random_state.read(device)

    def restore(self, model: nn.Module) -> None:
        """Bring the model and the generators back."""
        with torch.no_grad():
            for buffer, value in zip(model.buffers(), self._buffers, strict=True):
                buffer.copy_(value)
        random_state.write(self._random)


def _compute(
    forward: nn.Module, loss: nn.Module, batch: Batch, recipe: Recipe, device: torch.device
) -> tuple[Tensor, Tensor]:
    with autocast(device, recipe.precision):
        output = output_of(forward, batch)
    output = output.to(torch.get_default_dtype())
    value: Tensor = loss(output, batch.targets)
    if value.ndim:
        raise UsageError(
            f"the loss gives a tensor of shape {tuple(value.shape)} for a batch, training needs a scalar",
            hint='leave out a setting such as reduction="none"',
        )
    return value, output


def _line_search(
    state: TrainState, forward: nn.Module, loss: nn.Module, batch: Batch, recipe: Recipe, device: torch.device
) -> tuple[Tensor, Tensor]:
    values: list[Tensor] = []
    outputs: list[Tensor] = []
    raised: list[Exception] = []

    def closure() -> Tensor:
        try:
            value, output = _gradients(state, forward, loss, batch, recipe, device)
        except Exception as error:
            raised.append(error)
            raise
        values.append(value)
        if not outputs:  # the first is of the weights before the step, as other optimizers' is
            outputs.append(output)
        return value

    try:
        state.optimizer.step(closure)  # type: ignore[arg-type]
    except Exception as error:
        # torch's search, among values that compare with nothing
        lost = isinstance(error, (IndexError, TypeError, ArithmeticError)) and values
        if error in raised or not (lost and torch.stack(values).isnan().any()):
            if error not in raised:
                state.explain("optimizer", error)
            raise
    # A search may probe where the loss overflows, and turns back. From NaN it does not, and what is left may
    # look whole; so this is read now, not a step later: the closure waits for the device anyway.
    if torch.stack(values).isnan().any():
        raise _diverged("the loss", state.epoch + 1, state.step + 1)
    return values[0], outputs[0]


def _add(sums: EpochProgress, loss: nn.Module, value: Tensor, output: Tensor, batch: Batch) -> None:
    sums.batches += 1
    sums.num_images += len(batch.targets)
    sums.loss += batch_sum(loss, value, len(batch.targets))
    if batch.targets.ndim == 1:
        sums.correct += (output.argmax(dim=1) == batch.targets).sum()


def _check_finite(flag: _Flag | None) -> None:
    # On a GPU this waits for the step before, which is done by now; never for the one in flight.
    if flag is not None and not bool(flag.loss & flag.outputs & flag.weights):
        found = {"the loss": flag.loss, "an output": flag.outputs, "a weight or buffer": flag.weights}
        what = next(name for name, is_finite in found.items() if not bool(is_finite))
        raise _diverged(what, flag.epoch, flag.step)


def _diverged(what: str, epoch: int, step: int) -> DivergedError:
    return DivergedError(
        f"{what} became non-finite at step {step}, in epoch {epoch}",
        epoch=epoch,
        step=step,
        hint="lower --lr, clip gradients with --clip 1, or try --precision fp32",
    )


def _finish_epoch(
    state: TrainState,
    loss: nn.Module,
    data: Data,
    val: EvalLoader,
    recipe: Recipe,
    sums: EpochProgress,
    between: Callable[[], None],
    components: Sequence[NamedMetric],
) -> EpochResult:
    train_loss = float(sums.loss) / max(1, sums.num_images)
    train_s = sums.elapsed_s
    epoch = state.epoch + 1
    collected = make_metrics(data, val.device, components)
    evaluate(
        state.eval_model,
        val,
        loss,
        collected,
        precision=recipe.precision,
        between=between,
        parts=state.eval_parts,
    )
    measured = collected.result()
    metrics = {"train_loss": train_loss, **flat(measured, "val")}
    if data.task == "classification":
        metrics["train_accuracy"] = float(sums.correct) / max(1, sums.num_images)
    higher = {key: metric.higher_is_better for metric in components for key in metric.keys}
    wrong = _not_finite(measured, apart=higher) if len(val.split) else None
    if wrong is not None:
        raise _diverged(f"the validation metric {wrong}", epoch, state.step)
    state.epoch, state.progress = epoch, None
    return EpochResult(
        epoch=epoch,
        step=state.step,
        metrics=metrics,
        learning_rate=sums.learning_rate,
        by_resolution=_by_resolution(measured),
        validation=measured,
        train_s=train_s,
        data_wait_s=sums.data_wait_s,
        seconds=sums.elapsed_s,
        images_per_s=sums.num_images / train_s if train_s else 0.0,
        higher_is_better={f"val_{key}": value for key, value in higher.items()},
    )


def _not_finite(measured: Mapping[str, Any], *, apart: Container[str]) -> str | None:
    """The first metric that is not finite; an infinite PSNR is a perfect one.

    Those of components are `apart`: they may have no value for these images.
    """
    for key, value in measured.items():
        known = key in apart or (key, value) == ("psnr", math.inf)
        if isinstance(value, float) and not math.isfinite(value) and not known:
            return key
    return None


def _by_resolution(measured: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    accuracies = measured.get("accuracy_by_resolution", {})
    losses = measured.get("loss_by_resolution", {})
    return {key: {"loss": losses[key], "accuracy": accuracies[key]} for key in accuracies}
