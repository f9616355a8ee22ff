"""`nnkit bench`: networks against the real transforms, in interleaved rounds, with the fidelity of each."""

from __future__ import annotations

import contextlib
import logging
import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nnkit import config as configuration
from nnkit.build import plan
from nnkit.config import Resolved
from nnkit.errors import InterruptedRun, NnkitError, PartialError, UsageError
from nnkit.results.bench import ArmFidelity, BenchEnvironment, BenchResult
from nnkit.results.metrics import Transform
from nnkit.runs import provenance
from nnkit.runs.directory import PLACES, RunDirectory
from nnkit.runs.environment import environment
from nnkit.studies.bench.arms import Arm, Pass, digest_of, model_arms, reference_arms
from nnkit.studies.bench.config import BenchConfig
from nnkit.studies.bench.device_copies import DeviceCopies
from nnkit.studies.bench.floors import Floors
from nnkit.studies.bench.grid import UNAVAILABLE, Setting, settings_of, with_preset
from nnkit.studies.bench.record import Record
from nnkit.studies.bench.timing import interleave
from nnkit.studies.bench.verdicts import LOOP, Cell, Measurements
from nnkit.studies.paths import data_place
from nnkit.studies.same_settings import check_settings
from nnkit.surrogates.pipelines import Pipeline
from nnkit.training.devices import set_threads
from nnkit.training.interrupts import interrupted, listening
from nnkit.training.memory import release_traceback
from nnkit.training.metrics import TransformMetrics
from nnkit.types import Batch, Data, Dataset

logger = logging.getLogger("nnkit")

CHUNK = 1000
FLAGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "PYTORCH_CUDA_ALLOC_CONF", "CUDA_VISIBLE_DEVICES")
PATIENCE_S = 3.0
"""How long a run of an arm may go on after a signal: its round is lost in any case."""
FREE = ("data_root", "download", *PLACES)
"""What may differ from the benchmark that is resumed: where things are."""
Watch = Callable[[int, int], None]
Finish = Callable[[Path, BenchResult], object]
"""What is done with the result in its folder, such as to draw its figures."""


def complete(resolved: Resolved[BenchConfig]) -> Resolved[BenchConfig]:
    """The configuration with its preset's values, and its dataset checked."""
    return _complete(resolved)[0]


def _complete(resolved: Resolved[BenchConfig]) -> tuple[Resolved[BenchConfig], Dataset]:
    resolved = with_preset(resolved)
    config = resolved.config
    dataset: Dataset = plan("datasets", config.dataset, path="dataset").make()
    _pipeline_of(dataset, config)
    if all(setting.unavailable() for setting in settings_of(config)):
        why = settings_of(config)[0].unavailable()
        raise UsageError(f"nothing of the grid can run here: {why}", hint="add cpu to --device")
    return resolved, dataset


def _pipeline_of(dataset: Dataset, config: BenchConfig) -> Pipeline:
    pipeline = getattr(dataset, "pipeline", None)
    if dataset.task != "transform" or not isinstance(pipeline, Pipeline):
        raise UsageError(
            f'the dataset "{config.dataset}" has no pipeline of transforms to time networks against',
            hint="use --dataset cifar-transform, or cifar-transform:source=PATH",
        )
    return pipeline


def bench(
    resolved: Resolved[BenchConfig],
    *,
    watch: Watch | None = None,
    save: bool = False,
    finish: Finish | None = None,
) -> BenchResult:
    """Time everything in one interleaved run. `UsageError` where there is nothing to time.

    A run directory is made before the work starts, where `out` is given or `save` is set; `finish` is called
    with it and the result, and until it has returned the benchmark can be resumed. With `resume` the rounds
    that the benchmark there has are kept, and those that it lacks are measured. `InterruptedRun` after a
    signal; where there is a run directory, it says how to go on.
    """
    resolved, dataset = _complete(resolved)
    config = resolved.config
    set_threads(config.threads)
    if not save and config.out is None and config.resume is None:
        return _benchmark(config, dataset, None, Record(None), watch)
    with _recorded(config) as (folder, record):
        result = _benchmark(config, dataset, folder.path, record, watch)
        folder.write_summary(result.document())
        if finish is not None:
            finish(folder.path, result)
        folder.set_state("finished", reason="every cell is timed")
    return result


@contextlib.contextmanager
def _recorded(config: BenchConfig) -> Iterator[tuple[RunDirectory, Record]]:
    """The benchmark's folder, new or that of `resume`; an error that ends the block stands in its status."""
    folder, record = _new_folder(config) if config.resume is None else _old_folder(config, config.resume)
    try:
        folder.set_state("running")
        yield folder, record
    except (InterruptedRun, KeyboardInterrupt, SystemExit) as error:
        stopped = interrupted(error, f"{record.num_rounds} of {config.repeats} rounds")
        record.sync()
        folder.set_state("interrupted", reason=stopped.message)
        stopped.hint = f"go on with: {folder.resume_command()}"
        raise stopped from None
    except UsageError as error:
        if folder.is_new and not record.num_rounds:
            folder.discard()
        else:
            folder.set_state("failed", reason=error.message.splitlines()[0])
        raise
    except BaseException as error:
        folder.set_last_state("failed", reason=f"{type(error).__name__}: {error}".splitlines()[0])
        raise
    finally:
        folder.close()


def _new_folder(config: BenchConfig) -> tuple[RunDirectory, Record]:
    title = config.preset or config.dataset.name
    folder = RunDirectory.create(config.runs_dir, "bench", title, out=config.out)
    with folder.starting():
        folder.write_config(configuration.dumps(config, leave_out=PLACES))
        folder.write_environment({})
    return folder, Record(folder)


def _old_folder(config: BenchConfig, run: Path) -> tuple[RunDirectory, Record]:
    """The folder that `--resume` names, and its rounds. `UsageError` where this is no part of them."""
    folder = RunDirectory.reopen(RunDirectory.find(run, config.runs_dir).path, "bench")
    try:
        check_settings(folder, config, free=FREE, done="measured")
        if folder.status().state == "finished":
            raise UsageError(
                f"{folder.path} is finished: it has all its {config.repeats} rounds",
                hint="start a new benchmark: its config.toml repeats it",
            )
        record = Record(folder)
        record.check_machine(_surroundings())
    except BaseException:
        folder.close()
        raise
    logger.info("going on after round %d of %d", record.num_rounds, config.repeats)
    return folder, record


def _benchmark(
    config: BenchConfig, dataset: Dataset, run_dir: Path | None, record: Record, watch: Watch | None
) -> BenchResult:
    """Load, time and judge."""
    pipeline = _pipeline_of(dataset, config)
    data = dataset.load(data_place(config))
    levels, targets = _test_images(data, config.limit)
    surroundings = _surroundings()  # before the arms make a load of their own
    floats = levels.float() / 255  # once: the floor is of the very memory that the arms read
    copies = DeviceCopies()
    arms = [
        *reference_arms(pipeline, levels, floats, config, copies),
        *model_arms(config.model, data, levels, floats, config, copies),
    ]
    fidelities = [_fidelity(arm, targets) for arm in arms]
    floors = Floors({"uint8": levels, "float": floats}, targets, copies)
    contents = {"images": digest_of({"images": levels}), **_networks_read(arms)}
    measured = _measure(
        arms, floors, config, record, lambda names: record.begin(surroundings, names, contents), watch
    )
    rows = tuple(measured.arm_row(arm, fidelity) for arm, fidelity in zip(arms, fidelities, strict=True))
    return BenchResult(
        run_dir=run_dir,
        environment=record.environment(),
        dataset=str(config.dataset),
        pipeline=str(pipeline),
        images=len(levels),
        loader=config.loader,
        preset=config.preset,
        repeats=config.repeats,
        min_effect=config.min_effect,
        seed=config.seed,
        sittings=record.sittings(),
        selection=measured.selection,
        arms=rows,
        comparisons=measured.comparisons(rows),
        best=measured.best(rows),
        break_even_images=measured.first_break_even(rows),
    )


def _networks_read(arms: Sequence[Arm]) -> dict[str, str]:
    """The digests of the weights that arms have from files."""
    return {f"weights of {arm.name}": digest for arm in arms if (digest := getattr(arm, "digest", ""))}


def _test_images(data: Data, limit: int | None) -> tuple[Tensor, Tensor]:
    """The test split: uint8 (N, C, H, W), and its targets, float32 (N, C', H', W')."""
    split = data.splits["test"]
    split = split if limit is None else split.sample(limit)
    if not len(split):
        raise UsageError("the test split has no image to time", hint="raise --limit or add images")
    levels, _ = split.images.fetch(split.indices)
    return levels.contiguous(), split.targets[torch.from_numpy(split.indices)].contiguous()


def _fidelity(arm: Arm, targets: Tensor) -> ArmFidelity:
    """How far the arm's output is from the reference's; a class of None where it has no output here."""
    try:
        outputs = arm.outputs()
    except Exception as error:
        cause = f"{type(error).__name__}: {error}"
        return ArmFidelity(class_=None, max_abs_error=math.nan, mae_sum=math.nan, levels=None, error=cause)
    if outputs.shape != targets.shape:
        made, wanted = tuple(outputs.shape[1:]), tuple(targets.shape[1:])
        raise UsageError(
            f"{arm.name} makes {made} of an image, the pipeline {wanted}",
            hint="name a network for images, such as separable; `nnkit list models` shows all",
        )
    metrics = TransformMetrics(torch.device("cpu"))
    for start in range(0, len(targets), CHUNK):
        part = targets[start : start + CHUNK]
        metrics.add(outputs[start : start + CHUNK], _as_batch(part), torch.zeros(()))
    found = Transform.model_validate(metrics.result())
    return ArmFidelity(
        class_=found.fidelity.class_,
        max_abs_error=found.max_abs_error,
        mae_sum=found.mae_sum,
        levels=found.levels,
    )


def _as_batch(targets: Tensor) -> Batch:
    return Batch(targets, targets, np.arange(len(targets)))


def _measure(
    arms: Sequence[Arm],
    floors: Floors,
    config: BenchConfig,
    record: Record,
    begin: Callable[[tuple[str, ...]], None],
    watch: Watch | None,
) -> Measurements:
    """Every cell and every floor once per round; `begin` is called with the names of all before the first."""
    num_images = len(floors.targets)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(config.seed)
        cells, passes = _prepare(arms, floors, settings_of(config), num_images)
        before = record.measured
        begin(tuple(passes))
        with listening(patience_s=PATIENCE_S) as interrupt, interrupt.breakable():
            timings = interleave(
                passes,
                rounds=config.repeats,
                seed=config.seed,
                device={key: torch.device(key.split("|")[1]) for key in passes},
                catch=(Exception,),
                watch=watch,
                before=before,
                keep=record.keep,
                check=interrupt.check,
            )
    measured = Measurements(cells, timings, num_images, config.repeats, config.min_effect)
    error = measured.error(next(cell for cell in cells if cell.arm.name == LOOP))
    if error is not None:
        raise NnkitError(f"the reference could not be timed: {error}")
    return measured


def _prepare(
    arms: Sequence[Arm], floors: Floors, grid: Sequence[Setting], num_images: int
) -> tuple[list[Cell], dict[str, Pass]]:
    """All cells, and a pass for each that this machine can run, and for the floor of each."""
    cells: list[Cell] = []
    passes: dict[str, Pass] = {}
    for arm in arms:
        for setting in arm.settings(grid):
            key, floor_key = f"{len(cells)}|{setting.device}", f"floor {arm.input_type}|{setting.device}"
            error = setting.unavailable()
            if error is None and not setting.num_seen(num_images):
                error = f"{UNAVAILABLE}: {num_images} images make no whole batch"
            if error is None:
                try:
                    own = arm.prepare(setting)
                    if floor_key not in passes:
                        passes[floor_key] = floors.prepare(arm.input_type, setting.device)
                    passes[key] = own
                except Exception as wrong:
                    error = _explained(wrong)
                    release_traceback(wrong)  # after a device ran out of memory, its frames hold the images
            cells.append(Cell(arm, setting, key, floor_key, error))
    return cells, passes


def _explained(wrong: Exception) -> str:
    message = wrong.message if isinstance(wrong, NnkitError) else str(wrong)
    return message if message.startswith(UNAVAILABLE) else f"{type(wrong).__name__}: {message}"


def check_complete(result: BenchResult) -> None:
    """`PartialError` where cells failed. What this machine does not have is no failure."""
    cells = [(arm.name, cell) for arm in result.arms for cell in arm.cells]
    failed = [
        (name, cell.error)
        for name, cell in cells
        if cell.error is not None and not cell.error.startswith(UNAVAILABLE)
    ]
    if failed:
        name, error = failed[0]
        raise PartialError(
            f"{len(failed)} of {len(cells)} cells failed, the first ({name}): {error}",
            hint="the others are timed; the JSON holds each cell's error",
        )


def _surroundings() -> BenchEnvironment:
    """What the times depend on."""
    load = os.getloadavg() if hasattr(os, "getloadavg") else None
    flags = {key: os.environ[key] for key in FLAGS if key in os.environ}
    checkout = provenance.nnkit_commit()
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return BenchEnvironment(
        **environment(),
        threads=torch.get_num_threads(),
        load_average=load,
        gpus=tuple(gpus),
        flags=flags,
        commit=checkout.commit if checkout is not None else None,
    )
