"""`nnkit train --seeds`: one training per seed, each an ordinary run, and the mean over them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from nnkit.config import Resolved
from nnkit.results.metrics import SplitMetrics
from nnkit.results.train import TrainResult
from nnkit.results.train_seeds import FailedSeed, OverSeeds, SeedRun, TrainSeedsResult
from nnkit.runs.directory import RunDirectory
from nnkit.studies.cell_folder import open_folder
from nnkit.studies.cell_study import CellStudy, Watcher, failure
from nnkit.studies.cells import Cell, threads_each
from nnkit.studies.statistics import Estimate, estimate
from nnkit.studies.train.config import TrainConfig
from nnkit.studies.train.experiment import complete
from nnkit.studies.train.study import Finish
from nnkit.training.devices import choose_device
from nnkit.training.observers import Observer

COMMAND, NOUN = "train", "seed"
POSSIBLE: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(("accuracy", "macro_f1", "balanced_accuracy", "top_k", "calibration_error"), (0, 1)),
    "cosine_accuracy": (0, 1),
    "ssim": (-1, 1),
    "mse": (0, math.inf),
    "mae_sum": (0, math.inf),
    "max_abs_error": (0, math.inf),
}
"""The values that a metric can have, where it cannot have all: no interval reaches beyond them."""


def train_seeds(
    resolved: Resolved[TrainConfig],
    *,
    watcher: Watcher | None = None,
    observers: Sequence[Observer] = (),
    finish: Finish | None = None,
    draw: Callable[[TrainSeedsResult], object] | None = None,
) -> TrainSeedsResult:
    """Train once with each of the configuration's seeds. Finished runs of an earlier start are not repeated.

    `finish` is called with each run in the process that trained it, `draw` with the result; `observers` see
    the runs of this process. `InterruptedRun` says how to go on. Seeds that fail do not raise,
    `check_complete` does; but what fails before a run begins is raised, as every seed would fail so.
    """
    config = complete(resolved).config
    assert config.seeds is not None
    assert config.model is not None
    choose_device(config.device)
    title = f"{config.dataset.title}-{config.model.title}"
    folder = open_folder(config, COMMAND, title, out=config.out, kind="training")
    cells = {seed: Cell(f"seed {seed}", _one(config, seed, folder)) for seed in config.seeds}
    study = CellStudy(
        folder,
        list(cells.values()),
        noun=NOUN,
        tested=False,
        alike=True,
        jobs=config.jobs or 1,
        threads=config.threads,
    )
    return study.run(
        lambda: _result(config, cells, study), watcher=watcher, finish=finish, observers=observers, draw=draw
    )


def check_complete(result: TrainSeedsResult) -> None:
    """`PartialError` where some seeds failed; where all did, an error with the exit code of the first."""
    if not result.failed:
        return
    first = result.failed[0]
    raise failure(
        f"{NOUN} {first.seed}",
        first.error,
        first.exit_code,
        num_failed=len(result.failed),
        num_cells=len(result.seeds),
        noun=NOUN,
        hint=f"to try those again: {RunDirectory(result.run_dir).resume_command()}",
    )


def _one(config: TrainConfig, seed: int, folder: RunDirectory) -> TrainConfig:
    """The configuration of one seed's run."""
    one = {
        "seed": seed,
        "seeds": None,
        "jobs": None,
        "threads": threads_each(config.threads, config.jobs or 1),
        "out": folder.cell(f"{NOUN}-{seed}").path,
    }
    return config.model_copy(update=one)


def _result(config: TrainConfig, cells: Mapping[int, Cell], study: CellStudy) -> TrainSeedsResult:
    found = {seed: study.read(cell) for seed, cell in cells.items()}
    finished = {seed: summary for seed, summary in found.items() if summary is not None}
    first = next(iter(finished.values()), None)
    monitored = first.best.metric if first is not None else str(config.monitor)
    metric = monitored.removeprefix("val_").removeprefix("train_")
    values = [summary.best.value if summary is not None else None for summary in found.values()]
    tests = [summary.test if summary is not None else None for summary in found.values()]
    return TrainSeedsResult(
        run_dir=study.folder.path,
        dataset=str(config.dataset),
        model=str(config.model),
        loss=str(config.loss),
        parameters=first.parameters if first is not None else None,
        seeds=tuple(cells),
        runs=tuple(_run(cells[seed], summary) for seed, summary in finished.items()),
        validation=_over_seeds(monitored, metric, values),
        test=_over_seeds(metric, metric, [_value(test, metric) for test in tests]) if any(tests) else None,
        failed=tuple(
            FailedSeed(
                seed=seed,
                error=str(study.errors[cell.folder]) or "it left no summary",
                exit_code=study.errors[cell.folder].exit_code,
            )
            for seed, cell in cells.items()
            if cell.folder in study.errors
        ),
        seconds=study.seconds,
    )


def _run(cell: Cell, summary: TrainResult) -> SeedRun:
    return SeedRun(
        seed=cell.config.seed,
        run_dir=cell.folder,
        epochs=summary.epochs,
        stopped_by=summary.stopped_by,
        best=summary.best,
        test=summary.test,
        seconds=summary.seconds,
    )


def _value(test: SplitMetrics | None, metric: str) -> float | None:
    value = test[metric] if test is not None else None
    return value if isinstance(value, float) else None


def _over_seeds(name: str, metric: str, values: Sequence[float | None]) -> OverSeeds:
    finite = all(value is None or math.isfinite(value) for value in values)
    found = estimate(values) if finite else Estimate(None, None, 0)
    if metric in POSSIBLE:
        found = found.within(*POSSIBLE[metric])
    return OverSeeds(metric=name, mean=found.mean, ci95=found.ci95, values=tuple(values))
