"""`nnkit compare-pooling`: which pooling is better at equal parameter counts, with confidence intervals.

Every pooling gets the width that brings its model closest to one budget of parameters, and every seed is
trained with each: with one seed the data comes in the same order, so that differences are taken in pairs.
The epoch is chosen on validation; each run is evaluated on the test split once, at its end, and the test
accuracies are compared.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from nnkit import registry, schema
from nnkit.bucketing import merged, old_spelling
from nnkit.build import describe_mistakes, plan
from nnkit.config import Resolved
from nnkit.data.resize_policy import with_policy
from nnkit.errors import ConfigError, Mistake, UsageError
from nnkit.results.compare_pooling import (
    Accuracy,
    ComparePoolingResult,
    Comparison,
    FailedCell,
    PoolingRow,
)
from nnkit.results.metrics import ByResolution, Classification
from nnkit.results.train import TrainResult
from nnkit.runs.directory import RunDirectory
from nnkit.spec import Spec
from nnkit.studies.cell_folder import open_folder
from nnkit.studies.cell_study import CellStudy, Watcher, failure
from nnkit.studies.cells import Cell, threads_each
from nnkit.studies.compare_pooling.config import ComparePoolingConfig
from nnkit.studies.count_params.match import Match, closest_setting
from nnkit.studies.paths import data_place
from nnkit.studies.statistics import Estimate, differences, estimate
from nnkit.studies.train.config import TrainConfig
from nnkit.studies.train.study import Finish
from nnkit.training.devices import choose_device
from nnkit.types import Data, Dataset, resolution_order

logger = logging.getLogger("nnkit")
COMMAND = "compare-pooling"
FAR_FROM_BUDGET = 0.02
"""Beyond this share of the budget, a model's parameter count is worth a warning."""
NO_DIFFERENCE = "no difference shown"
_POOLING = "pooling"


@dataclass(frozen=True)
class _Arm:
    """One pooling in the comparison: its spec, its model without the pooling, and the solved setting."""

    pooling: Spec
    model: Spec
    match: Match


@dataclass(frozen=True)
class _Comparison:
    """The cells by the place of their pooling and their seed, and the study of them."""

    config: ComparePoolingConfig
    arms: Sequence[_Arm]
    cells: Mapping[tuple[int, int], Cell]
    study: CellStudy


def complete(resolved: Resolved[ComparePoolingConfig]) -> Resolved[ComparePoolingConfig]:
    """The configuration with all its specs checked and their values read; needs no data."""
    old = old_spelling(resolved.config.dataset)
    config = resolved.config.model_copy(update={"dataset": old.spec})
    groups = ComparePoolingConfig.component_groups
    given = [("dataset", groups["dataset"], config.dataset), ("model", groups["model"], config.model)]
    given += [(f"pooling[{at}]", groups["pooling"], spec) for at, spec in enumerate(config.pooling)]
    mistakes = resolved.config.mistakes() + (describe_mistakes(given) or _own_mistakes(config))
    if mistakes:
        raise ConfigError(mistakes)
    poolings = tuple(_read("poolings", spec) for spec in config.pooling)
    names = [str(spec) for spec in poolings]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise ConfigError([Mistake("pooling", f'"{name}" is given twice', "leave one out") for name in twice])
    if old.warning:
        logger.warning("%s", old.warning)
    read = {
        "dataset": _read("datasets", config.dataset),
        "pooling": poolings,
        "bucketing": merged(old.modes, config.bucketing),
    }
    return replace(resolved, config=config.model_copy(update=read))


def compare_pooling(
    resolved: Resolved[ComparePoolingConfig],
    *,
    watcher: Watcher | None = None,
    finish: Finish | None = None,
    draw: Callable[[ComparePoolingResult], object] | None = None,
) -> ComparePoolingResult:
    """Compare as configured. Finished cells of an earlier start in the same folder are not repeated.

    `finish` is called with each cell's run in the process that trained it, `draw` with the result.
    `InterruptedRun` says how to go on. Failed cells do not raise: `check_complete` does.
    """
    config = complete(resolved).config
    choose_device(config.device)
    dataset: Dataset = plan("datasets", config.dataset).make()
    data, _ = with_policy(dataset.load(data_place(config)), config.bucketing)
    if data.task != "classification":
        raise UsageError(
            f'the dataset "{config.dataset}" is for {data.task}: poolings are compared by accuracy',
            hint="choose a dataset of the task classification",
        )
    if not len(data.splits["test"]):
        raise UsageError(
            f'the dataset "{config.dataset}" has no test images: poolings are compared by test accuracy',
            hint="add images for testing, such as a folder test/",
        )
    arms = [_arm(config, pooling, data) for pooling in config.pooling]
    del data, dataset  # the cells load their own: this process would hold a second copy all the while
    title = f"{config.dataset.name}-{config.model.name}"
    folder = open_folder(config, COMMAND, title, out=config.out, kind="comparison")
    cells = _cells(config, arms, folder)
    study = CellStudy(folder, list(cells.values()), jobs=config.jobs, threads=config.threads)
    comparison = _Comparison(config, arms, cells, study)
    return study.run(lambda: _result(comparison), watcher=watcher, finish=finish, draw=draw)


def check_complete(result: ComparePoolingResult) -> None:
    """`PartialError` where some cells failed; where all did, an error with the exit code of the first."""
    if not result.failed:
        return
    first = result.failed[0]
    raise failure(
        f"{first.pooling}, seed {first.seed}",
        first.error,
        first.exit_code,
        num_failed=len(result.failed),
        num_cells=len(result.results) * len(result.seeds),
        noun="cell",
        hint=f"to try those again: {RunDirectory(result.run_dir).resume_command()}",
    )


def _own_mistakes(config: ComparePoolingConfig) -> list[Mistake]:
    """What is wrong with the comparison as such."""
    settings = schema.settings_of(registry.load(registry.find("models", config.model.name)).cls)
    mistakes = []
    if not config.pooling:
        mistakes.append(Mistake("pooling", "no pooling is given", "name two or more"))
    if _POOLING not in settings or settings[_POOLING].group != "poolings":
        mistakes.append(Mistake("model", f'"{config.model.name}" takes no pooling', "varres-net does"))
    for key, why in ((_POOLING, "each pooling in turn"), (config.vary, "what the budget asks for")):
        if key in config.model.settings:
            mistakes.append(Mistake(f"model.{key}", f"is set to {why}", "leave it out"))
    return mistakes


def _read(group: str, spec: Spec, known: Mapping[str, Any] | None = None) -> Spec:
    """The spec with its given values as their types, so that equal ones are written alike."""
    settings = plan(group, spec, known=known).spec.settings
    return Spec(spec.name, {key: settings[key] for key in spec.settings})


def _arm(config: ComparePoolingConfig, pooling: Spec, data: Data) -> _Arm:
    known = data.known_settings()
    bare = Spec(config.model.name, {**config.model.settings, _POOLING: pooling})
    match = closest_setting(bare, config.vary, config.budget, known=known)
    if abs(match.difference) > FAR_FROM_BUDGET * config.budget:
        logger.warning(
            "%s: the closest %s, %d, has %d parameters, %d away from the budget of %d",
            pooling, config.vary, match.value, match.total, abs(match.difference), config.budget,
        )  # fmt: skip
    given = Spec(bare.name, {**config.model.settings, config.vary: match.value, _POOLING: pooling})
    return _Arm(pooling, _read("models", given, known), match)


def _cells(
    config: ComparePoolingConfig, arms: Sequence[_Arm], folder: RunDirectory
) -> dict[tuple[int, int], Cell]:
    """A cell per pooling and seed, by the pooling's place and the seed; the cells of a pair are adjacent."""
    cells = {}
    for seed in config.seeds:
        for place, arm in enumerate(arms):
            slug = re.sub(r"[^A-Za-z0-9._]+", "-", str(arm.pooling)).strip("-.")[:40]
            path = folder.cell(f"{place}-{slug}-seed-{seed}").path
            title = f"{arm.pooling}, {config.vary} {arm.match.value}, seed {seed}"
            cells[place, seed] = Cell(title, _train_config(config, arm, seed, path))
    return cells


def _train_config(config: ComparePoolingConfig, arm: _Arm, seed: int, path: Path) -> TrainConfig:
    return TrainConfig(
        dataset=config.dataset, model=arm.model, seed=seed, epochs=config.epochs,
        optimizer=Spec("adam", {} if config.lr is None else {"lr": config.lr}),
        batch_size=config.batch_size, bucketing=config.bucketing, precision=config.precision,
        limit=config.limit, out=path, device=config.device,
        threads=threads_each(config.threads, config.jobs), data_root=config.data_root,
        download=config.download,
    )  # fmt: skip


def _result(comparison: _Comparison) -> ComparePoolingResult:
    config, arms, study = comparison.config, comparison.arms, comparison.study
    rows = tuple(_row(comparison, place, arm) for place, arm in enumerate(arms))
    comparisons = tuple(_compare(a, b) for a, b in combinations(rows, 2))
    failed = tuple(
        FailedCell(
            pooling=str(arms[place].pooling),
            seed=seed,
            error=str(study.errors[cell.folder]) or "it left no summary",
            exit_code=study.errors[cell.folder].exit_code,
        )
        for (place, seed), cell in comparison.cells.items()
        if cell.folder in study.errors
    )
    return ComparePoolingResult(
        run_dir=study.folder.path,
        dataset=str(config.dataset),
        model=str(config.model),
        vary=config.vary,
        epochs=config.epochs,
        seeds=config.seeds,
        budget=config.budget,
        results=rows,
        comparisons=comparisons,
        winner=_winner([row.pooling for row in rows], comparisons),
        failed=failed,
        seconds=study.seconds,
    )


def _row(comparison: _Comparison, place: int, arm: _Arm) -> PoolingRow:
    cells = [comparison.cells[place, seed] for seed in comparison.config.seeds]
    tests = [_test_of(comparison.study.read(cell)) for cell in cells]
    by_resolution: list[ByResolution] = [
        (test.accuracy_by_resolution or {}) if test else {} for test in tests
    ]
    resolutions = sorted({key for values in by_resolution for key in values}, key=resolution_order)
    return PoolingRow(
        pooling=str(arm.pooling),
        vary=comparison.config.vary,
        value=arm.match.value,
        parameters=arm.match.total,
        accuracy=_described([test.accuracy if test else None for test in tests]),
        by_resolution={key: _described([values.get(key) for values in by_resolution]) for key in resolutions},
        cells=tuple(str(cell.folder) for cell in cells),
    )


def _test_of(summary: TrainResult | None) -> Classification | None:
    return summary.test if summary is not None and isinstance(summary.test, Classification) else None


def _described(values: Sequence[float | None]) -> Accuracy:
    found = estimate(values).within(0, 1)
    return Accuracy(mean=found.mean, ci95=found.ci95, values=tuple(values))


def _compare(a: PoolingRow, b: PoolingRow) -> Comparison:
    """The paired difference a - b of two rows, and what it says."""
    by_seed = differences(a.accuracy.values, b.accuracy.values)
    found = estimate(by_seed)
    better = (a if (found.mean or 0) > 0 else b).pooling if found.excludes_zero else None
    return Comparison(
        a=a.pooling,
        b=b.pooling,
        difference=found.mean,
        ci95=found.ci95,
        pairs=found.num,
        differences=by_seed,
        better=better,
        verdict=verdict(found, better),
    )


def verdict(found: Estimate, better: str | None) -> str | None:
    """In words: "max better by 1.23 points (95 % 0.90 to 1.56)"; None where there is no interval."""
    if found.mean is None or found.ci95 is None:
        return None
    if better is None:
        return NO_DIFFERENCE
    low, high = sorted(abs(100 * end) for end in found.ci95)
    return f"{better} better by {abs(100 * found.mean):.2f} points (95 % {low:.2f} to {high:.2f})"


def _winner(poolings: Sequence[str], comparisons: Sequence[Comparison]) -> str | None:
    """The pooling that is better than every other one, each by an interval that excludes zero."""
    for name in poolings:
        against = [pair for pair in comparisons if name in (pair.a, pair.b)]
        if against and all(pair.better == name for pair in against):
            return name
    return None
