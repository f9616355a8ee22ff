"""`nnkit train`: one model on one dataset, to a run directory that says everything about the run."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from nnkit import config as configuration
from nnkit.build import Blueprint, describe_mistakes, plan
from nnkit.config import Resolved, TrainConfig, resolve
from nnkit.data import tensor_files
from nnkit.data.augmentation import make_augmentation
from nnkit.data.batches import Batches, moved
from nnkit.errors import ConfigError, DivergedError, InterruptedRun, Mistake, UsageError
from nnkit.spec import Spec
from nnkit.studies.places import data_place
from nnkit.studies.result import Result
from nnkit.studies.solvers import solver_mistakes
from nnkit.studies.train_figures import write_figures
from nnkit.training import checkpoints, closed_form, run_directory
from nnkit.training.devices import choose_device, likes_channels_last, put_on, set_threads
from nnkit.training.evaluation import evaluate
from nnkit.training.interrupts import Interrupt, listening
from nnkit.training.loop import Recipe, TrainState, fit, keep_average, require_finite
from nnkit.training.masks import check_takes_mask, output_of
from nnkit.training.metrics import Metrics, make_metrics
from nnkit.training.observers import BestWeights, MetricsLog, Observer
from nnkit.training.optimizers import DEFAULT_LR, make_schedule, read_optimizer
from nnkit.training.run_directory import RunDirectory
from nnkit.types import SPLITS, Data, Dataset, EpochResult, StepResult, StoppingRule

logger = logging.getLogger("nnkit")
USUAL_LOSS = {"classification": "cross-entropy", "transform": "mse"}
USUAL_MONITOR = {"classification": "accuracy", "transform": "loss"}
PLACES = ("out", "runs_dir")
"""Where a run was written, which is no part of repeating it."""


class TrainResult(Result):
    """What a training run came to. Epochs count from 1; metrics are of the best epoch's weights.

    `best["metrics"]` holds the validation metrics as `nnkit evaluate` names them, and the epoch's record
    (`train_*`, `val_*`), in which `best["metric"]` says which one was watched. `solver` has its `name`; of a
    fit in closed form also `solver_s`, `images`, and what the model tells of it.
    """

    schema_name: ClassVar[str] = "nnkit.train/1"

    run_dir: Path
    dataset: str
    model: str
    loss: str
    parameters: int
    epochs: int
    stopped_by: str
    best: dict[str, Any]
    test: dict[str, Any] | None
    solver: dict[str, Any]
    seconds: float
    images_per_s: float
    seed: int
    device: str


@dataclass
class Experiment:
    """Everything that is built for a run: the parts that the loop and the observers share."""

    config: TrainConfig
    data: Data
    model: nn.Module
    model_plan: Blueprint
    loss: nn.Module
    loss_plan: Blueprint
    rules: Sequence[tuple[str, StoppingRule]]
    device: torch.device
    train: Batches
    val: Batches
    monitor: str
    solver: dict[str, Any] = field(default_factory=dict)

    @property
    def num_parameters(self) -> int:
        """Trainable and frozen parameters of the model, tied ones once."""
        return sum(p.numel() for p in self.model.parameters())


def train(
    *, config: Sequence[Path | str] = (), observers: Sequence[Observer] = (), **options: Any
) -> TrainResult:
    """Train with the options of `nnkit train` as keywords: `train(dataset="mnist", epochs=4)`.

    `config` are TOML files that the options beat. Raises the errors of `nnkit.errors`.
    """
    return run(resolve(TrainConfig, options, files=[Path(path) for path in config]), observers=observers)


def complete(resolved: Resolved[TrainConfig]) -> Resolved[TrainConfig]:
    """The configuration with every choice made that needs no data, and all its specs checked."""
    config = resolved.config
    groups = TrainConfig.component_groups
    given = [
        (key, groups[key], spec) for key in ("dataset", "model", "loss") if (spec := getattr(config, key))
    ]
    given += [(f"stop[{at}]", groups["stop"], rule) for at, rule in enumerate(config.stop)]
    mistakes = describe_mistakes(given)
    try:
        optimizer = read_optimizer(config.optimizer, config.lr)
    except ConfigError as error:
        mistakes += error.mistakes
    except UsageError as error:
        mistakes.append(Mistake("", error.message, error.hint))
    if config.clip is not None and config.optimizer.name == "lbfgs":
        mistakes.append(Mistake("clip", "lbfgs searches along its own step: it has no gradient to clip"))
    if mistakes:
        raise ConfigError(mistakes)
    dataset: Dataset = plan("datasets", config.dataset).make()
    values: dict[str, Any] = {
        "model": config.model or Spec(dataset.default_model),
        "loss": config.loss or Spec(USUAL_LOSS[dataset.task]),
        "monitor": config.monitor or USUAL_MONITOR[dataset.task],
    }
    if mistakes := solver_mistakes(config, values["model"]):
        raise ConfigError(mistakes)
    if config.solver == "als":
        values |= {"epochs": 1}
    else:
        values |= {"lr": config.lr or getattr(optimizer, "lr", DEFAULT_LR)}
    return replace(resolved, config=config.model_copy(update=values))


def run(resolved: Resolved[TrainConfig], *, observers: Sequence[Observer] = ()) -> TrainResult:
    """Train as configured; leave a run directory whatever happens after it is made."""
    started = time.perf_counter()
    resolved = complete(resolved)
    config = resolved.config
    set_threads(config.threads)
    device = choose_device(config.device)
    dataset: Dataset = plan("datasets", config.dataset).make()
    data = moved(_limited(dataset.load(data_place(config)), config.limit), device)
    cuda = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        experiment = _prepare(config, data, device)
        folder = run_directory.create(
            run_directory.default_runs_dir(config.runs_dir),
            "train",
            f"{config.dataset.name}-{experiment.model_plan.spec.name}",
            out=config.out,
        )
        try:
            return _run_in(folder, experiment, observers, started)
        finally:
            folder.close()


def _limited(data: Data, limit: int | None) -> Data:
    if limit is None:
        return data
    return replace(data, splits={name: split.sample(limit) for name, split in data.splits.items()})


def _prepare(config: TrainConfig, data: Data, device: torch.device) -> Experiment:
    """Build every part, so that each mistake is found before anything is written."""
    known = data.known_settings()
    assert config.model is not None
    model_plan = plan("models", config.model, known=known)
    loss_plan = plan("losses", loss_spec(config), known=known)
    rules = [
        (spec.name, plan("stopping_rules", spec, known=known, path="stop").make()) for spec in config.stop
    ]
    torch.manual_seed(config.seed)
    model: nn.Module = model_plan.make()
    # torch's L-BFGS reads gradients as flat views, which other memory formats do not have.
    channels_last = likes_channels_last(model) and config.optimizer.name != "lbfgs"
    model = put_on(model, device, channels_last=channels_last)
    loss: nn.Module = loss_plan.make().to(device)
    shared = {"device": device, "channels_last": channels_last}
    if not len(data.splits["train"]):
        raise UsageError(
            f'the dataset "{config.dataset}" has no image to train on', hint="raise --limit or add images"
        )
    augment = make_augmentation(config.augment)
    if augment is not None and data.task != "classification":
        raise UsageError(
            "augment: the target of a transform is a function of the image as it is",
            hint="leave --augment out for this dataset",
        )
    train = Batches(data, data.splits["train"], batch_size=config.batch_size, augment=augment, **shared)  # type: ignore[arg-type]
    _check_leftovers(train)
    check_takes_mask(model, str(model_plan.spec), train)
    # Evaluation holds no gradients: larger batches cost no accuracy and save time.
    val = Batches(data, data.splits["val"], batch_size=max(config.batch_size, 256), **shared)  # type: ignore[arg-type]
    monitor = _monitor(config, data)
    return Experiment(config, data, model, model_plan, loss, loss_plan, rules, device, train, val, monitor)


def _check_leftovers(train: Batches) -> None:
    """`UsageError` where leftovers=drop leaves no batch, a warning where it leaves out images."""
    forecast = train.plan(shuffle=True).forecast
    if not forecast.num_batches:
        raise UsageError(
            f"leftovers=drop leaves nothing to train on: no bucket has {train.batch_size} images for a batch",
            hint="set leftovers=keep or merge, a smaller --batch-size, or fewer buckets",
        )
    if forecast.num_dropped:
        logger.warning(
            "leftovers=drop: %d of %d training images are in no batch of an epoch, others in the next one",
            forecast.num_dropped,
            len(train.split),
        )


def loss_spec(config: TrainConfig) -> Spec:
    """The loss of a complete configuration; `label_smoothing` beats the loss's own setting."""
    assert config.loss is not None
    if not config.label_smoothing:
        return config.loss
    if config.loss.name != "cross-entropy":
        raise UsageError(
            f'label_smoothing: the loss "{config.loss.name}" has none',
            hint="use it with --loss cross-entropy",
        )
    return Spec(config.loss.name, {**config.loss.settings, "label_smoothing": config.label_smoothing})


def _monitor(config: TrainConfig, data: Data) -> str:
    assert config.monitor is not None
    name = config.monitor.removeprefix("val_")
    names = [
        key
        for key, value in make_metrics(data, torch.device("cpu")).result().items()
        if isinstance(value, float)
    ]
    if name not in names:
        raise UsageError(
            f'monitor: there is no metric "{config.monitor[:80]}"', hint="known: " + ", ".join(names)
        )
    if len(data.splits["val"]):
        return f"val_{name}"
    return "train_accuracy" if name == "accuracy" else "train_loss"


def _run_in(
    folder: RunDirectory, experiment: Experiment, observers: Sequence[Observer], started: float
) -> TrainResult:
    config = experiment.config
    folder.write_config(configuration.dumps(config, leave_out=PLACES))
    folder.write_environment({"device": str(experiment.device), "threads": torch.get_num_threads()})
    indices = {name: torch.from_numpy(experiment.data.splits[name].indices) for name in SPLITS}
    tensor_files.save(folder.path / "splits.safetensors", indices, {})
    folder.set_state("running")
    try:
        result = _train(folder, experiment, observers, started)
    except InterruptedRun as error:
        folder.set_state("interrupted", reason=error.message)
        raise
    except DivergedError as error:
        folder.set_state(
            "failed", reason="non-finite", epoch=error.epoch, step=error.step, message=error.message
        )
        error.hint = f"{error.hint}; what was done is in {folder.path}"
        raise
    except BaseException as error:
        message = f"{type(error).__name__}: {error}".splitlines()[0]
        state = "interrupted" if isinstance(error, (KeyboardInterrupt, SystemExit)) else "failed"
        folder.set_state(state, reason=message)
        raise
    folder.set_state("finished", reason=result.stopped_by)
    return result


def _train(
    folder: RunDirectory, experiment: Experiment, observers: Sequence[Observer], started: float
) -> TrainResult:
    config = experiment.config
    fitted = closed_form.fit_closed_form if config.solver == "als" else closed_form.prepare
    experiment.solver = fitted(experiment.model, experiment.data)
    state = _start(experiment)
    log = MetricsLog(folder)
    best = BestWeights(experiment.monitor)
    forward = _compiled(experiment) if config.compile else experiment.model
    with listening() as interrupt:
        try:
            stopped_by = _loop(folder, experiment, state, forward, best, [log, *observers], interrupt)
        finally:
            log.flush()
        model = state.best_guess
        model.load_state_dict(best.weights)
        tested = _test(experiment, model, interrupt) if config.test else None
    measured = tested.result() if tested is not None else None
    result = TrainResult(
        run_dir=folder.path,
        dataset=str(config.dataset),
        model=str(config.model),
        loss=str(config.loss),
        parameters=experiment.num_parameters,
        epochs=state.epoch,
        stopped_by=stopped_by,
        best={"epoch": best.epoch, "metric": best.monitor, "metrics": dict(best.metrics)},
        test=measured,
        solver=experiment.solver,
        seconds=time.perf_counter() - started,
        images_per_s=_images_per_s(log.epochs),
        seed=config.seed,
        device=str(experiment.device),
    )
    write_figures(folder.figures, experiment.data, model, experiment.device, log, best.epoch, tested)
    folder.write_summary(result.document())
    return result


def _start(experiment: Experiment) -> TrainState:
    config = experiment.config
    parameters = [p for p in experiment.model.parameters() if p.requires_grad]
    if not parameters:
        raise UsageError(f'the model "{config.model}" has nothing to train')
    optimizer = read_optimizer(config.optimizer, config.lr)(parameters)
    schedule = make_schedule(config.schedule, optimizer, config.epochs * len(experiment.train))
    return TrainState(experiment.model, optimizer, schedule, keep_average(experiment.model, config.ema))


def _loop(
    folder: RunDirectory,
    experiment: Experiment,
    state: TrainState,
    forward: nn.Module,
    best: BestWeights,
    observers: Sequence[Observer],
    interrupt: Interrupt,
) -> str:
    """Run the loop to its end; return what stopped it. An interrupted run leaves a checkpoint."""
    x = experiment
    events = _events(x, state, forward, interrupt)
    try:
        for event in _explained(events, experiment, state):
            if isinstance(event, StepResult):
                for observer in observers:
                    observer.on_step(event)
            else:
                for observer in observers:
                    observer.on_epoch(event)
                reasons = [(name, why) for name, rule in x.rules if (why := rule.update(event))]
                _save(folder, experiment, state, best, event)
                if reasons:
                    return "; ".join(f"{name}: {why}" for name, why in reasons)
            interrupt.check()
    except InterruptedRun as error:
        require_finite(state)
        checkpoints.save_last(folder.path, state, _rest(experiment))
        error.message += f" after step {state.step} and {state.epoch} whole epochs"
        error.hint = f"{folder.path} holds the checkpoint"
        raise
    return "epochs" if x.config.solver == "gradient" else "closed form"


def _events(
    x: Experiment, state: TrainState, forward: nn.Module, interrupt: Interrupt
) -> Iterator[StepResult | EpochResult]:
    """The steps and epochs of the loop; of a fit in closed form its one epoch."""
    between, precision = interrupt.check, x.config.precision
    if x.config.solver == "als":
        return closed_form.one_epoch(
            state, x.loss, x.data, x.train, x.val, x.solver, precision=precision, between=between
        )
    recipe = Recipe(x.config.epochs, x.config.seed, precision, x.config.clip, x.config.order)
    return fit(state, forward, x.loss, x.data, x.train, x.val, recipe, between=between)


def _explained(
    events: Iterator[StepResult | EpochResult], experiment: Experiment, state: TrainState
) -> Iterator[StepResult | EpochResult]:
    """The events; what breaks in the very first step is told as parts that do not fit together."""
    try:
        first = next(events, None)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        config = experiment.config
        parts = f'the model "{config.model}" and the loss "{config.loss}"'
        cause = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UsageError(
            f'{parts} cannot train on "{config.dataset}": {cause}',
            hint="`nnkit info` says what each takes; --debug shows the traceback",
        ) from error
    if first is not None:
        yield first
    yield from events


def _save(
    folder: RunDirectory, experiment: Experiment, state: TrainState, best: BestWeights, event: EpochResult
) -> None:
    if best.offer(event, state.best_guess):
        card = checkpoints.describe(
            experiment.data,
            configuration.dump(experiment.config)["model"],
            epoch=event.epoch,
            monitor=best.monitor,
            metrics=event.metrics,
        )
        checkpoints.save_best(folder.path, state.best_guess, card)
    checkpoints.save_last(folder.path, state, _rest(experiment))


def _rest(experiment: Experiment) -> Mapping[str, Any]:
    return {"stop": [{"name": name, "state": rule.state_dict()} for name, rule in experiment.rules]}


def _compiled(experiment: Experiment) -> nn.Module:
    """The compiled model, tried on one batch; eager, with a warning, where no compiler is."""
    compiled: nn.Module = torch.compile(experiment.model)  # type: ignore[assignment]
    batch = next(experiment.train.load(experiment.train.plan()))
    compiled.eval()  # in train mode, the trial would count in the statistics of batch norms
    try:
        output_of(compiled, batch)
    except Exception as error:  # the compiler's own errors have no common base
        logger.warning("--compile: no working compiler here (%s), going on without", type(error).__name__)
        return experiment.model
    return compiled


def _test(experiment: Experiment, model: nn.Module, interrupt: Interrupt) -> Metrics:
    data, device, config = experiment.data, experiment.device, experiment.config
    batches = Batches(
        data,
        data.splits["test"],
        batch_size=experiment.val.batch_size,
        device=device,
        channels_last=experiment.val.channels_last,
    )
    metrics = make_metrics(data, device)
    return evaluate(
        model, batches, experiment.loss, metrics, precision=config.precision, between=interrupt.check
    )


def _images_per_s(epochs: Sequence[EpochResult]) -> float:
    seconds = sum(epoch.train_s for epoch in epochs)
    return sum(epoch.images_per_s * epoch.train_s for epoch in epochs) / seconds if seconds else 0.0
