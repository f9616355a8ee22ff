"""`nnkit bench compare`: what became slower between runs of `nnkit bench`, with a confidence interval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from nnkit.errors import GateError, NnkitError, UsageError
from nnkit.results.bench import BenchResult, Verdict
from nnkit.results.bench_compare import BenchCompareResult, CellChange, Gate
from nnkit.results.reading import read
from nnkit.runs.directory import RunDirectory
from nnkit.studies.bench.between_runs import FALSE_ALARMS, TAIL, Change, change_between, holm
from nnkit.studies.bench.config import BenchCompareConfig, paths_of
from nnkit.studies.bench.grid import Setting
from nnkit.studies.bench.machine import machine_differences
from nnkit.studies.bench.measure import Plan, Watch, measure
from nnkit.studies.bench.timing import Ratio, bootstrap_median_ratio, verdict
from nnkit.studies.bench.verdicts import LOOP

IMAGES = ("dataset", "pipeline", "images", "loader")
"""What two benchmarks must share for their times to be of the same work."""

AGAIN = "measure it again with `nnkit bench`"
MORE_RUNS = "measure both anew with --runs 5, or name several runs a side: A1,A2,A3 B1,B2,B3"
Key = tuple[str, Setting]
Times = Mapping[Key, np.ndarray]
"""Each cell's samples over those of reference-loop in the same rounds."""


@dataclass(frozen=True)
class Side:
    """The runs of one side, each with its times."""

    runs: tuple[Path, ...]
    results: tuple[BenchResult, ...]
    times: tuple[Times, ...]

    @classmethod
    def of(cls, runs: Sequence[Path]) -> Side:
        """The runs at these places. `UsageError` for what is no benchmark, or is there twice."""
        if len({run.resolve() for run in runs}) < len(runs):
            again = next(run for run in runs if [other.resolve() for other in runs].count(run.resolve()) > 1)
            raise UsageError(f"one side names {again} twice", hint="name each run once: a copy has no spread")
        results = tuple(_read(run) for run in runs)
        times = tuple(_relative_times(result, run) for result, run in zip(results, runs, strict=True))
        return cls(tuple(runs), results, times)

    def cells(self) -> dict[Key, list[np.ndarray]]:
        """The times of each cell in every run that has it."""
        found: dict[Key, list[np.ndarray]] = {}
        for times in self.times:
            for key, values in times.items():
                found.setdefault(key, []).append(values)
        return found


def run(
    config: BenchCompareConfig, *, fail_above: float | None = None, watch: Watch | None = None
) -> BenchCompareResult:
    """Compare the runs that A and B are, or with `runs` those that they make when they are measured anew."""
    if config.runs is None:
        return bench_compare(config.a, config.b, fail_above=fail_above, min_effect=config.min_effect)
    _check_gate_is_a_share(fail_above)
    plans = Plan.of("a", config.a, config.python_a), Plan.of("b", config.b, config.python_b)
    made = measure(*plans, num_runs=config.runs, runs_dir=config.runs_dir, watch=watch)
    first, second = map(Side.of, made)
    return compare_sides(
        config.a, config.b, first, second, fail_above=fail_above, min_effect=config.min_effect
    )


def bench_compare(
    a: Path, b: Path, *, fail_above: float | None = None, min_effect: float = 0.02, seed: int = 0
) -> BenchCompareResult:
    """Compare two sides, each of them one or several runs that `nnkit bench` saved.

    A side is a run's folder, its JSON document, several of these between commas, or a folder that holds runs.
    `UsageError` for what is no benchmark or for benchmarks of different images.
    """
    _check_gate_is_a_share(fail_above)
    first, second = Side.of(_runs_at(a)), Side.of(_runs_at(b))
    return compare_sides(a, b, first, second, fail_above=fail_above, min_effect=min_effect, seed=seed)


def compare_sides(
    a: Path,
    b: Path,
    first: Side,
    second: Side,
    *,
    fail_above: float | None = None,
    min_effect: float = 0.02,
    seed: int = 0,
) -> BenchCompareResult:
    """Compare the runs of two sides, which the result calls `a` and `b`.

    Times are divided by those of `reference-loop` in the same rounds, which takes out how fast the machine
    was at the time. Of several runs, the interval of a change is Student's t of the logarithms of their
    medians; of one run a side it is that of the rounds within them, and the gate cannot tell.
    """
    _check_images(first, second)
    one, *others = (result.environment for result in (*first.results, *second.results))
    differences = machine_differences(one, others)
    times_a, times_b = first.cells(), second.cells()
    common = [key for key in times_a if key in times_b]
    if not common:
        raise UsageError("the two benchmarks have no cell in common", hint="run both with the same options")
    between_runs = len(first.runs) + len(second.runs) > 2
    judge = _Judge(len(common), fail_above, min_effect, seed, same_machine=not differences)
    judged = judge.between if between_runs else judge.within
    cells = [judged(key, times_a[key], times_b[key]) for key in common]
    if between_runs and fail_above is not None and not differences:
        cells = _gated(cells, fail_above)
    result = BenchCompareResult(
        a=a,
        b=b,
        runs_a=first.runs,
        runs_b=second.runs,
        between_runs=between_runs,
        same_machine=not differences,
        differences=tuple(differences),
        cells=tuple(cells),
        only_in_a=tuple(_title(key) for key in times_a if key not in times_b),
        only_in_b=tuple(_title(key) for key in times_b if key not in times_a),
        min_effect=min_effect,
        smallest_visible_change=float(np.max([cell.smallest_visible_change for cell in cells])),  # NaN stays
        fail_above=fail_above,
        regressions=sum(cell.regression for cell in cells),
        gate=None,
    )
    return result if fail_above is None else result.model_copy(update={"gate": _gate(result)})


def _check_gate_is_a_share(fail_above: float | None) -> None:
    if fail_above is not None and not 0 <= fail_above < 100:
        raise UsageError(f"fail_above is {fail_above}, it must be a share from 0 to 100, such as 5%")


@dataclass(frozen=True)
class _Judge:
    """What is asked of every cell of a comparison."""

    num_cells: int
    fail_above: float | None
    min_effect: float
    seed: int
    same_machine: bool

    def between(self, key: Key, a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> CellChange:
        """A cell by the spread between runs. `p_holm` is not adjusted yet, so `gate` is passed at most."""
        logs = [[math.log(float(np.median(values))) for values in side] for side in (a, b)]
        change = change_between(*logs)
        half = change.half_width()
        ratio = Ratio(*(math.exp(change.difference + way * half) for way in (0, -1, 1)))
        return self._cell(key, ratio, change, num_runs=(len(a), len(b)))

    def within(self, key: Key, a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> CellChange:
        """A cell by the rounds of one run of each side: each resampled by itself, they share no rounds."""
        return self._cell(key, bootstrap_median_ratio(b[0], a[0], seed=self.seed), None, num_runs=(1, 1))

    def _cell(
        self, key: Key, ratio: Ratio, change: Change | None, *, num_runs: tuple[int, int]
    ) -> CellChange:
        said: Verdict = verdict(ratio, self.min_effect)
        reach = max(ratio.high / ratio.value, ratio.value / ratio.low) - 1
        can_tell = reach <= max(self.min_effect, self.fail_above or 0.0)
        limit, is_known = math.log1p(self.fail_above or 0.0), change is not None and change.freedom > 0
        visible, p = math.nan, math.nan
        if change is not None and is_known:
            # What the gate needs, for all cells together and never less than the cell's own interval.
            tail = TAIL if self.fail_above is None else min(TAIL, FALSE_ALARMS / self.num_cells)
            visible = max(math.expm1(limit + change.half_width(tail)), self.min_effect)
        if change is not None and self.fail_above is not None:
            p = change.p_above(limit)
        gate: Gate | None = None
        if self.fail_above is not None:
            is_excluded = ratio.high < 1 + self.fail_above
            gate = "passed" if is_known and self.same_machine and (can_tell or is_excluded) else "cannot tell"
        unsure = said == "no difference" and not can_tell
        return CellChange(
            arm=key[0],
            **key[1].document(),
            change=ratio.value,
            ci95=(ratio.low, ratio.high),
            verdict="different machine" if not self.same_machine else "cannot tell" if unsure else said,
            regression=False,
            gate=gate,
            num_runs_a=num_runs[0],
            num_runs_b=num_runs[1],
            smallest_visible_change=visible,
            p_holm=p,
        )


def _gated(cells: Sequence[CellChange], fail_above: float) -> list[CellChange]:
    """The cells with p-values adjusted for their number, and which of them are regressions."""
    found = []
    for cell, p in zip(cells, holm([cell.p_holm for cell in cells]), strict=True):
        fails = p < FALSE_ALARMS and cell.ci95[0] > 1 + fail_above
        more = {"regression": True, "gate": "failed"} if fails else {}
        found.append(cell.model_copy(update={"p_holm": p, **more}))
    return found


def _gate(result: BenchCompareResult) -> Gate:
    if _cannot_judge(result) is not None:
        return "cannot tell"
    if result.regressions:
        return "failed"
    return "cannot tell" if _unsure(result) else "passed"


def _unsure(result: BenchCompareResult) -> list[CellChange]:
    return [cell for cell in result.cells if cell.gate == "cannot tell"]


def _cannot_judge(result: BenchCompareResult) -> NnkitError | None:
    """Why no cell of the gate can be judged, or not all are there."""
    if not result.same_machine:
        return NnkitError(
            f"different machine, so --fail-above cannot be judged: {'; '.join(result.differences)}",
            hint="measure both on one machine",
        )
    if result.only_in_a:
        return NnkitError(
            f"{len(result.only_in_a)} cells of a have no time in b, so --fail-above cannot be judged; "
            f"the first: {result.only_in_a[0]}",
            hint="run both with the same options; the JSON of b holds each cell's error",
        )
    if not result.between_runs:
        return NnkitError(
            "one run a side does not show how much runs differ, so --fail-above cannot be judged",
            hint=MORE_RUNS,
        )
    return None


def check_gate(result: BenchCompareResult) -> None:
    """`GateError` where a cell is slower beyond `fail_above`; `NnkitError` where the gate cannot tell."""
    if result.fail_above is None:
        return
    wrong = _cannot_judge(result)
    if wrong is not None:
        raise wrong
    if result.regressions:
        worst = max((cell for cell in result.cells if cell.regression), key=lambda cell: cell.change)
        low, high = worst.ci95
        raise GateError(
            f"{result.regressions} of {len(result.cells)} cells are slower by more than "
            f"{result.fail_above:.1%}; the worst, {worst.arm}, takes {worst.change:.3f} times as long "
            f"(95 % {low:.3f} to {high:.3f})"
        )
    unsure = _unsure(result)
    if unsure:
        seen = float(np.max([cell.smallest_visible_change for cell in unsure]))
        size = (
            "no slow-down can be seen" if math.isnan(seen) else f"no slow-down under {seen:.1%} can be seen"
        )
        raise NnkitError(
            f"cannot tell at this load whether {len(unsure)} of {len(result.cells)} cells are slower by more "
            f"than {result.fail_above:.1%}: {size} in all of them",
            hint="take more runs or a quieter machine, or raise --fail-above",
        )


def _check_images(first: Side, second: Side) -> None:
    one, *others = (*first.results, *second.results)
    for other in others:
        for name in IMAGES:
            ours, theirs = getattr(one, name), getattr(other, name)
            if ours != theirs:
                raise UsageError(
                    f"the benchmarks have different {name}: {ours} and {theirs}",
                    hint="run all with the same options",
                )


def _title(key: Key) -> str:
    return f"{key[0]} at " + ", ".join(f"{name}={value}" for name, value in key[1].document().items())


def _runs_at(side: Path) -> list[Path]:
    """The runs that a side names: files, runs, and those in folders of runs."""
    return [run for path in paths_of(side) for run in _runs_in(path)]


def _runs_in(given: Path) -> list[Path]:
    if not given.is_dir() or RunDirectory(given).summary_path.is_file():
        return [given]
    inside = [path for path in sorted(given.iterdir()) if RunDirectory(path).summary_path.is_file()]
    return inside or [given]


def _read(path: Path) -> BenchResult:
    if path.suffix == ".toml":
        raise UsageError(f"{path} is no benchmark but options of one", hint="add --runs 5 to measure it")
    if path.is_dir():
        path = RunDirectory(path).summary_path
    try:
        return read(path, TypeAdapter(BenchResult), strict=True, error=UsageError, hint=AGAIN)
    except FileNotFoundError:
        raise UsageError(
            f"there is no benchmark at {path}",
            hint="name a folder of `nnkit bench`, or its summary.json",
        ) from None


def _relative_times(saved: BenchResult, path: Path) -> Times:
    """Each cell's samples over those of reference-loop in the same rounds; a cell may have none."""
    samples: dict[Key, np.ndarray] = {}
    for arm in saved.arms:
        for cell in arm.cells:
            setting = Setting(**{name: getattr(cell, name) for name in Setting().document()})
            if (arm.name, setting) in samples:
                raise UsageError(f"{path} is damaged: it has {_title((arm.name, setting))} twice", hint=AGAIN)
            if cell.samples_s:
                samples[arm.name, setting] = np.array(cell.samples_s)
    loop = samples.get((LOOP, Setting()))
    if loop is None or any(len(values) != len(loop) for values in samples.values()):
        raise UsageError(f"{path} is damaged: not every cell has a time for each of its rounds", hint=AGAIN)
    return {key: values / loop for key, values in samples.items() if key[0] != LOOP}
