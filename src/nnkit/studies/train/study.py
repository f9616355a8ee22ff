"""`nnkit train`: trains one model on one dataset and writes a run directory."""

from __future__ import annotations

import contextlib
import logging
import math
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from nnkit import config as configuration
from nnkit.config import Resolved
from nnkit.data.loaders import EvalLoader, data_to
from nnkit.data.resize_policy import with_policy
from nnkit.data.splits import check_labels, classes_without_images, limited
from nnkit.errors import DivergedError, InterruptedRun, PluginError, UsageError, WriteError
from nnkit.results.train import Best, BestMetrics, Solver, TrainResult
from nnkit.runs.directory import PLACES, RunDirectory
from nnkit.runs.training_state import SavedState
from nnkit.studies.metrics import as_split_metrics, split_metrics
from nnkit.studies.paths import data_place
from nnkit.studies.train import resuming
from nnkit.studies.train.config import TrainConfig
from nnkit.studies.train.experiment import (
    Experiment,
    compile_model,
    complete,
    complete_with_dataset,
    prepare,
    start_state,
)
from nnkit.studies.train.figures import FigureData, figure_data
from nnkit.studies.train.incompatible import Refusal, cause_of
from nnkit.studies.train.oom import out_of_memory
from nnkit.studies.train.saving import Saver
from nnkit.studies.train.tracking import tracked
from nnkit.training import determinism, least_squares, random_state
from nnkit.training.devices import choose_device, set_threads
from nnkit.training.evaluation import evaluate
from nnkit.training.interrupts import Interrupt, as_interrupted, listening
from nnkit.training.loop import TrainState, fit
from nnkit.training.memory import is_out_of_memory, release_traceback
from nnkit.training.metrics import Metrics, make_metrics
from nnkit.training.observers import (
    BestWeights,
    MetricsLog,
    Observer,
    PlanObserver,
    ResumeObserver,
    StartObserver,
)
from nnkit.types import SPLITS, EpochResult, StepResult

logger = logging.getLogger("nnkit")

__all__ = ["TrainResult", "Trained", "complete", "train"]

PATIENCE_S = 3.0
"""How long data may be waited for after a signal, or a compiler; a step is ended where it would be lost."""


@dataclass(frozen=True)
class Trained:
    """A finished run: its result, and what its figures show, which `nnkit.present` draws."""

    result: TrainResult
    figures: FigureData


Finish = Callable[[Trained], object]
"""What is done with a run in the process that trained it, such as to draw its figures."""


def train(
    resolved: Resolved[TrainConfig],
    *,
    observers: Sequence[Observer] = (),
    finish: Finish | None = None,
    advise: bool = True,
    last_epoch: int | None = None,
) -> Trained:
    """Train as configured; leave a run directory whatever happens after it is made.

    The run is finished once `finish` has returned: until then it can be resumed. Out of memory with `advise`,
    smaller batches are tried, so that the error names one that fits. With `last_epoch` training ends after
    that epoch; a schedule over all epochs is that of all.
    """
    started = time.perf_counter()
    resolved, dataset = complete_with_dataset(resolved)
    config = resolved.config
    for observer in observers:
        if isinstance(observer, StartObserver):
            observer.on_start(epochs=config.epochs, seed=config.seed)
    set_threads(config.threads)
    device = choose_device(config.device)
    loaded = dataset.load(data_place(config))
    check_labels(loaded, str(config.dataset))
    data, bucketing = with_policy(loaded, config.bucketing)
    config = config.model_copy(update={"bucketing": bucketing})  # with the size that the data asks for
    data = limited(data, config.limit)
    if missing := classes_without_images(data, SPLITS if config.test else ("train", "val")):
        logger.warning("%s", missing)
    # before anything is on the device: cuBLAS reads once how it may add up
    with determinism.deterministic(config.deterministic), random_state.kept(device):
        data = data_to(data, device)
        x = prepare(config, data, device)
        forecast = x.train.plan(epoch=1, seed=config.seed, order=config.order).forecast
        for observer in observers:
            if isinstance(observer, PlanObserver):
                observer.on_plan(images_per_epoch=forecast.num_images)
        with (
            _recorded(x, advise=advise) as (folder, saved),
            determinism.explained(),
            contextlib.ExitStack() as ends,
        ):
            fitted = least_squares.fit_least_squares if config.solver != "gradient" else least_squares.prepare
            x.solver = fitted(x.model, x.data)
            state = start_state(x)
            log, best = MetricsLog(folder), BestWeights(x.monitor)
            saver = Saver(folder, x, state, best, log, started)
            if saved is not None:
                _resume(saver, saved, state, observers)
            tracking = ends.enter_context(tracked(config, folder, state.step))
            forward = compile_model(x) if config.compile else x.model
            with listening(patience_s=PATIENCE_S) as interrupt:
                with _saved_when_interrupted(state, saver), _explained(x, state), _flushed(log):
                    # Where the checkpoint was made when all was trained, nothing is left to do here.
                    left = _events(x, state, forward, interrupt) if saver.stopped_by is None else iter(())
                    while True:
                        with interrupt.breakable(saver.loses_nothing):
                            event = next(left, None)
                        is_end = event is None or _ends(event, x, state, saver, (log, *observers, tracking))
                        if is_end or state.epoch == last_epoch:
                            break
                        interrupt.check()
                model = state.eval_model
                for holder in {id(each): each for each in (model, x.model)}.values():
                    holder.load_state_dict(best.weights)  # both: a module that was passed is the caller's
                has_test = config.test and len(x.data.splits["test"]) > 0
                with interrupt.breakable():
                    tested = _test(x, state, model, interrupt) if has_test else None
            result = _result(folder, x, state, best, log, saver, tested)
            folder.write_summary(result.document())
            trained = Trained(result, figure_data(data, model, device, log, best.epoch, tested))
            if finish is not None:
                finish(trained)
            tracking.done(folder, result.document())
            folder.set_state("finished", reason=result.stopped_by)
    return trained


def _resume(saver: Saver, saved: SavedState, state: TrainState, observers: Sequence[Observer]) -> None:
    """Restore the checkpoint, and notify the observers that take part in resuming."""
    saver.restore(saved)
    images_done = state.progress.num_images if state.progress is not None else 0
    logger.info("going on after step %d, with %d whole epochs", state.step, state.epoch)
    for observer in observers:
        if isinstance(observer, ResumeObserver):
            observer.on_resume(epochs_done=state.epoch, images_done=images_done)


def _ends(
    event: StepResult | EpochResult,
    x: Experiment,
    state: TrainState,
    saver: Saver,
    observers: Sequence[Observer],
) -> bool:
    """Show a step or an epoch to all who look at it, and save what is due; whether a rule says to stop."""
    if isinstance(event, StepResult):
        for observer in observers:
            observer.on_step(event)
        saver.after_step(event)
        return False
    _check_monitored(event, x.monitor)
    for observer in observers:
        observer.on_epoch(event)
    reasons = [f"{name}: {why}" for name, rule in x.rules if (why := rule.update(event))]
    saver.stopped_by = "; ".join(reasons) or _ended(x, state)
    saver.after_epoch(event)
    return bool(reasons)


def _check_monitored(event: EpochResult, monitor: str) -> None:
    """`UsageError` where the monitored metric has no value: no epoch could be the best."""
    if math.isnan(event.metrics.get(monitor, math.nan)):
        raise UsageError(
            f"monitor: {monitor} is NaN after epoch {event.epoch}, so it cannot say which epoch is best",
            hint="choose another --monitor, such as loss",
        )


def _ended(x: Experiment, state: TrainState) -> str | None:
    """Why the run is at its end though no rule says so; None where epochs are left."""
    if state.epoch < x.config.epochs:
        return None
    return "epochs" if x.config.solver == "gradient" else "least squares"


@contextlib.contextmanager
def _recorded(x: Experiment, *, advise: bool) -> Iterator[tuple[RunDirectory, SavedState | None]]:
    """The run's folder, new or that of the run to resume; what ends the block by an error stands in it."""
    folder, saved = _new_folder(x) if x.config.resume is None else _old_folder(x, x.config.resume)
    try:
        _write_start(folder, x)
        with _errors_recorded(folder, x, advise=advise):
            yield folder, saved
    except BaseException:
        with contextlib.suppress(WriteError):  # a log that cannot be closed hides no error before it
            folder.close()
        raise
    folder.close()


def _write_start(folder: RunDirectory, x: Experiment) -> None:
    """What a run's folder holds before the first step; one that cannot be written leaves no new folder.

    A run that cannot go on is failed.
    """
    with folder.starting():
        folder.set_state("running")
        folder.write_config(configuration.dumps(x.config, leave_out=PLACES))
        folder.write_environment(
            {
                "device": str(x.device),
                "device_name": torch.cuda.get_device_name(x.device) if x.device.type == "cuda" else None,
                "threads": torch.get_num_threads(),
                "resume_not_exact": resuming.why_not_exact(x),
            }
        )
        folder.write_splits({name: x.data.splits[name].indices for name in SPLITS})


def _new_folder(x: Experiment) -> tuple[RunDirectory, None]:
    config = x.config
    title = f"{config.dataset.title}-{x.model_plan.spec.title}"
    return RunDirectory.create(config.runs_dir, "train", title, out=config.out), None


def _old_folder(x: Experiment, run: Path) -> tuple[RunDirectory, SavedState]:
    """The folder of a run that `--resume` names, and its newest whole checkpoint."""
    folder = RunDirectory.reopen(RunDirectory.find(run, x.config.runs_dir).path, "train")
    try:
        saved = resuming.read_newest(folder)
        resuming.check_config(folder, saved)
        resuming.check_settings(folder, x.config)
        resuming.check_data(folder, x.data)
        resuming.check_something_left(folder, saved, x.config)
        saved = resuming.goes_on(saved, folder, x.config)
    except BaseException:
        folder.close()
        raise
    return folder, saved


@contextlib.contextmanager
def _errors_recorded(folder: RunDirectory, x: Experiment, *, advise: bool) -> Iterator[None]:
    """What ends the block by an error, in the status of the run."""
    try:
        yield
    except (InterruptedRun, KeyboardInterrupt, SystemExit) as error:
        stopped = error if isinstance(error, InterruptedRun) else as_interrupted(error)
        reason = stopped.message if stopped is not None else f"{type(error).__name__}: {error}"
        folder.set_last_state("interrupted", reason=reason)
        if stopped is None:  # a component ends the process
            raise
        stopped.hint = _how_to_resume(folder)
        raise stopped from None
    except (UsageError, PluginError) as error:
        if not folder.has_log() and x.config.resume is None:  # it never started
            folder.discard()
        else:
            folder.set_last_state("failed", reason=error.message)
        raise
    except DivergedError as error:
        folder.set_last_state(
            "failed", reason="non-finite", epoch=error.epoch, step=error.step, message=error.message
        )
        error.hint = f"{error.hint}; what was done is in {folder.path}"
        raise
    except BaseException as error:
        folder.set_last_state("failed", reason=f"{type(error).__name__}: {error}".splitlines()[0])
        if not (advise and is_out_of_memory(error) and x.config.solver == "gradient"):
            raise
        release_traceback(error)
        explained = out_of_memory(x)
        folder.set_last_state("failed", reason=str(explained))
        raise explained from error


def _how_to_resume(folder: RunDirectory) -> str:
    if folder.can_resume():
        return f"go on with: {folder.resume_command()}"
    config = shlex.quote(str(folder.config_path))
    return f"it has no checkpoint to go on from; repeat it with: nnkit train --config {config}"


@contextlib.contextmanager
def _saved_when_interrupted(state: TrainState, saver: Saver) -> Iterator[None]:
    """An interrupted loop leaves a checkpoint."""
    try:
        yield
    except InterruptedRun as error:
        saver.when_interrupted()
        error.message += f" after step {state.step} and {state.epoch} whole epochs"
        raise


@contextlib.contextmanager
def _explained(x: Experiment, state: TrainState) -> Iterator[None]:
    """An error in the very first step is reported as incompatible components."""
    try:
        yield
    except Refusal as error:
        about_kernels = isinstance(error, RuntimeError) and determinism.refusal(error) is not None
        if about_kernels or is_out_of_memory(error) or state.step or state.epoch:
            raise
        config = x.config
        parts = f'the model "{config.model}" and the loss "{config.loss}"'
        raise UsageError(
            f'{parts} cannot train on "{config.dataset}": {cause_of(error, x)}',
            hint="`nnkit info` says what each takes; --debug shows the traceback",
        ) from error


@contextlib.contextmanager
def _flushed(log: MetricsLog) -> Iterator[None]:
    """The log holds every step when the block ends, however it ends."""
    try:
        yield
    finally:
        log.flush()


def _events(
    x: Experiment, state: TrainState, forward: nn.Module, interrupt: Interrupt
) -> Iterator[StepResult | EpochResult]:
    """The steps and epochs of the loop; of a fit by least squares its one epoch."""
    between, precision = interrupt.check, x.config.precision
    if x.config.solver != "gradient":
        train = EvalLoader(
            x.data,
            x.train.split,
            batch_size=x.train.batch_size,
            device=x.device,
            channels_last=x.train.channels_last,
        )
        return least_squares.one_epoch(
            state,
            x.loss,
            x.data,
            train,
            x.val,
            x.solver,
            precision=precision,
            between=between,
            components=x.metrics,
        )
    return fit(
        state,
        forward,
        x.train_loss,
        x.data,
        x.train,
        x.val,
        x.recipe,
        between=between,
        val_loss=x.loss,
        components=x.metrics,
    )


def _result(
    folder: RunDirectory,
    x: Experiment,
    state: TrainState,
    best: BestWeights,
    log: MetricsLog,
    saver: Saver,
    tested: Metrics | None,
) -> TrainResult:
    config = x.config
    return TrainResult(
        run_dir=folder.path,
        dataset=str(config.dataset),
        model=str(config.model),
        loss=str(config.loss),
        parameters=x.num_parameters,
        epochs=state.epoch,
        stopped_by=saver.stopped_by or "epochs",
        best=_best(best),
        test=split_metrics(tested) if tested is not None else None,
        solver=Solver.model_validate(x.solver),
        seconds=saver.seconds,
        images_per_s=_images_per_s(log.epochs),
        seed=config.seed,
        device=str(x.device),
    )


def _best(best: BestWeights) -> Best:
    record = {name: value for name, value in best.metrics.items() if name.startswith(("train_", "val_"))}
    validation = {name: value for name, value in best.metrics.items() if name not in record}
    metrics = BestMetrics(validation=as_split_metrics(validation), record=record)
    return Best(epoch=best.epoch, metric=best.monitor, metrics=metrics)


def _test(experiment: Experiment, state: TrainState, model: nn.Module, interrupt: Interrupt) -> Metrics:
    data, device, config = experiment.data, experiment.device, experiment.config
    batches = EvalLoader(
        data,
        data.splits["test"],
        batch_size=experiment.val.batch_size,
        device=device,
        bucketing=config.bucketing,
        channels_last=experiment.val.channels_last,
    )
    metrics = make_metrics(data, device, experiment.metrics)
    return evaluate(
        model,
        batches,
        experiment.loss,
        metrics,
        precision=config.precision,
        between=interrupt.check,
        parts=state.eval_parts,
    )


def _images_per_s(epochs: Sequence[EpochResult]) -> float:
    seconds = sum(epoch.train_s for epoch in epochs)
    return sum(epoch.images_per_s * epoch.train_s for epoch in epochs) / seconds if seconds else 0.0
