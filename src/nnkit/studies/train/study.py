"""`nnkit train`: one model on one dataset, to a run directory that says everything about the run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nnkit import config as configuration
from nnkit.build import plan
from nnkit.config import Resolved, TrainConfig, resolve
from nnkit.data.loaders import EvalLoader, data_to
from nnkit.data.resize_policy import with_policy
from nnkit.errors import DivergedError, InterruptedRun, UsageError
from nnkit.results.train import Best, BestMetrics, Solver, TrainResult
from nnkit.runs import checkpoints
from nnkit.runs.directory import PLACES, RunDirectory
from nnkit.runs.status import State
from nnkit.studies.metrics import as_split_metrics, split_metrics
from nnkit.studies.paths import data_place
from nnkit.studies.train.experiment import (
    Experiment,
    compile_model,
    complete,
    prepare,
    start_state,
)
from nnkit.studies.train.figures import write_figures
from nnkit.studies.train.oom import out_of_memory
from nnkit.training import least_squares as closed_form
from nnkit.training.devices import choose_device, set_threads
from nnkit.training.evaluation import evaluate
from nnkit.training.interrupts import Interrupt, listening
from nnkit.training.loop import TrainState, fit, require_finite
from nnkit.training.memory import is_out_of_memory, let_go
from nnkit.training.metrics import Metrics, make_metrics
from nnkit.training.observers import BestWeights, MetricsLog, Observer
from nnkit.types import SPLITS, Data, Dataset, EpochResult, StepResult


def train(
    *, config: Sequence[Path | str] = (), observers: Sequence[Observer] = (), **options: Any
) -> TrainResult:
    """Train with the options of `nnkit train` as keywords: `train(dataset="mnist", epochs=4)`.

    `config` are TOML files that the options beat. Raises the errors of `nnkit.errors`.
    """
    return run(resolve(TrainConfig, options, files=[Path(path) for path in config]), observers=observers)


def run(
    resolved: Resolved[TrainConfig], *, observers: Sequence[Observer] = (), advise: bool = True
) -> TrainResult:
    """Train as configured; leave a run directory whatever happens after it is made.

    Out of memory with `advise`, smaller batches are tried, so that the error names one that fits.
    """
    started = time.perf_counter()
    resolved = complete(resolved)
    config = resolved.config
    set_threads(config.threads)
    device = choose_device(config.device)
    dataset: Dataset = plan("datasets", config.dataset).make()
    data, bucketing = with_policy(dataset.load(data_place(config)), config.bucketing)
    config = config.model_copy(update={"bucketing": bucketing})  # with the size that the data asks for
    data = data_to(_limited(data, config.limit), device)
    cuda = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        experiment = prepare(config, data, device)
        title = f"{config.dataset.name}-{experiment.model_plan.spec.name}"
        folder = RunDirectory.create(config.runs_dir, "train", title, out=config.out)
        try:
            return _run_in(folder, experiment, observers, started, advise=advise)
        finally:
            folder.close()


def _limited(data: Data, limit: int | None) -> Data:
    if limit is None:
        return data
    return replace(data, splits={name: split.sample(limit) for name, split in data.splits.items()})


def _run_in(
    folder: RunDirectory,
    experiment: Experiment,
    observers: Sequence[Observer],
    started: float,
    *,
    advise: bool,
) -> TrainResult:
    config = experiment.config
    folder.write_config(configuration.dumps(config, leave_out=PLACES))
    folder.write_environment({"device": str(experiment.device), "threads": torch.get_num_threads()})
    folder.write_splits({name: experiment.data.splits[name].indices for name in SPLITS})
    folder.set_state("running")
    try:
        result = _train(folder, experiment, observers, started)
    except InterruptedRun as error:
        folder.set_state("interrupted", reason=error.message)
        raise
    except UsageError as error:
        if not folder.has_log():  # it never started
            folder.discard()
        else:
            folder.set_state("failed", reason=error.message)
        raise
    except DivergedError as error:
        folder.set_state(
            "failed", reason="non-finite", epoch=error.epoch, step=error.step, message=error.message
        )
        error.hint = f"{error.hint}; what was done is in {folder.path}"
        raise
    except BaseException as error:
        message = f"{type(error).__name__}: {error}".splitlines()[0]
        state: State = "interrupted" if isinstance(error, (KeyboardInterrupt, SystemExit)) else "failed"
        folder.set_state(state, reason=message)
        if not (advise and is_out_of_memory(error) and config.solver == "gradient"):
            raise
        let_go(error)
        told = out_of_memory(experiment)
        folder.set_state(state, reason=str(told))
        raise told from error
    folder.set_state("finished", reason=result.stopped_by)
    return result


def _train(
    folder: RunDirectory, experiment: Experiment, observers: Sequence[Observer], started: float
) -> TrainResult:
    config = experiment.config
    fitted = closed_form.fit_closed_form if config.solver == "als" else closed_form.prepare
    experiment.solver = fitted(experiment.model, experiment.data)
    state = start_state(experiment)
    log = MetricsLog(folder)
    best = BestWeights(experiment.monitor)
    forward = compile_model(experiment) if config.compile else experiment.model
    with listening() as interrupt:
        try:
            stopped_by = _loop(folder, experiment, state, forward, best, [log, *observers], interrupt)
        finally:
            log.flush()
        model = state.best_guess
        model.load_state_dict(best.weights)
        has_test = config.test and len(experiment.data.splits["test"]) > 0
        tested = _test(experiment, model, interrupt) if has_test else None
    result = TrainResult(
        run_dir=folder.path,
        dataset=str(config.dataset),
        model=str(config.model),
        loss=str(config.loss),
        parameters=experiment.num_parameters,
        epochs=state.epoch,
        stopped_by=stopped_by,
        best=_best(best),
        test=split_metrics(tested) if tested is not None else None,
        solver=Solver.model_validate(experiment.solver),
        seconds=time.perf_counter() - started,
        images_per_s=_images_per_s(log.epochs),
        seed=config.seed,
        device=str(experiment.device),
    )
    write_figures(folder.figures, experiment.data, model, experiment.device, log, best.epoch, tested)
    folder.write_summary(result.document())
    return result


def _best(best: BestWeights) -> Best:
    record = {name: value for name, value in best.metrics.items() if name.startswith(("train_", "val_"))}
    validation = {name: value for name, value in best.metrics.items() if name not in record}
    metrics = BestMetrics(validation=as_split_metrics(validation), record=record)
    return Best(epoch=best.epoch, metric=best.monitor, metrics=metrics)


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
        train = EvalLoader(
            x.data,
            x.train.split,
            batch_size=x.train.batch_size,
            device=x.device,
            channels_last=x.train.channels_last,
        )
        return closed_form.one_epoch(
            state, x.loss, x.data, train, x.val, x.solver, precision=precision, between=between
        )
    return fit(state, forward, x.loss, x.data, x.train, x.val, x.recipe, between=between)


def _explained(
    events: Iterator[StepResult | EpochResult], experiment: Experiment, state: TrainState
) -> Iterator[StepResult | EpochResult]:
    """The events; what breaks in the very first step is told as parts that do not fit together."""
    try:
        first = next(events, None)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        if is_out_of_memory(error):
            raise
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


def _test(experiment: Experiment, model: nn.Module, interrupt: Interrupt) -> Metrics:
    data, device, config = experiment.data, experiment.device, experiment.config
    batches = EvalLoader(
        data,
        data.splits["test"],
        batch_size=experiment.val.batch_size,
        device=device,
        bucketing=config.bucketing,
        channels_last=experiment.val.channels_last,
    )
    metrics = make_metrics(data, device)
    return evaluate(
        model, batches, experiment.loss, metrics, precision=config.precision, between=interrupt.check
    )


def _images_per_s(epochs: Sequence[EpochResult]) -> float:
    seconds = sum(epoch.train_s for epoch in epochs)
    return sum(epoch.images_per_s * epoch.train_s for epoch in epochs) / seconds if seconds else 0.0
