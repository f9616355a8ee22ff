"""`nnkit bench compare`: what became slower between two saved benchmarks, and how surely."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from nnkit.errors import GateError, NnkitError, UsageError
from nnkit.results.bench import BenchResult
from nnkit.results.bench_compare import BenchCompareResult, CellChange
from nnkit.results.reading import read
from nnkit.runs.directory import RunDirectory
from nnkit.studies.bench.grid import Setting
from nnkit.studies.bench.timing import Ratio, bootstrap_median_ratio, verdict
from nnkit.studies.bench.verdicts import LOOP

SAME = ("cpu", "cores", "threads", "gpus")
"""What two environments must share for their times to be compared."""

AGAIN = "measure it again with `nnkit bench`"
Key = tuple[str, Setting]


def bench_compare(
    a: Path, b: Path, *, fail_above: float | None = None, min_effect: float = 0.02, seed: int = 0
) -> BenchCompareResult:
    """Compare two benchmarks that `nnkit bench` saved: their folders, or their JSON documents.

    Times are divided by those of `reference-loop` in the same rounds, which takes out how fast the machine
    was at the time. A regression is a cell whose whole interval lies above 1 + `fail_above`. `UsageError` for
    a file that is no benchmark or two of different images.
    """
    if fail_above is not None and not 0 <= fail_above < 100:
        raise UsageError(f"fail_above is {fail_above}, it must be a share from 0 to 100, such as 5%")
    first, second = _read(a), _read(b)
    for name in ("dataset", "pipeline", "images", "loader"):
        ours, theirs = getattr(first, name), getattr(second, name)
        if ours != theirs:
            raise UsageError(
                f"the two benchmarks have different {name}: {ours} and {theirs}",
                hint="run both with the same options",
            )
    differences = [
        f"{name}: {_shown(ours)} and {_shown(theirs)}"
        for name in SAME
        if (ours := getattr(first.environment, name)) != (theirs := getattr(second.environment, name))
    ]
    times_a, times_b = _relative_times(first, a), _relative_times(second, b)
    cells: list[CellChange] = []
    for key, values in times_a.items():
        if key in times_b:
            change = _change(values, times_b[key], seed)
            said = verdict(change, min_effect) if not differences else "different machine"
            worse = fail_above is not None and not differences and change.low > 1 + fail_above
            cells.append(
                CellChange(
                    arm=key[0],
                    **key[1].document(),
                    change=change.value,
                    ci95=(change.low, change.high),
                    verdict=said,
                    regression=worse,
                )
            )
    if not cells:
        raise UsageError("the two benchmarks have no cell in common", hint="run both with the same options")
    return BenchCompareResult(
        a=a,
        b=b,
        same_machine=not differences,
        differences=tuple(differences),
        cells=tuple(cells),
        only_in_a=tuple(_title(key) for key in times_a if key not in times_b),
        only_in_b=tuple(_title(key) for key in times_b if key not in times_a),
        fail_above=fail_above,
        regressions=sum(cell.regression for cell in cells),
    )


def check_gate(result: BenchCompareResult) -> None:
    """`GateError` where a cell is slower beyond `fail_above`; `NnkitError` where the gate cannot judge."""
    if result.fail_above is None:
        return
    if not result.same_machine:
        raise NnkitError(
            f"different machine, so --fail-above cannot be judged: {'; '.join(result.differences)}",
            hint="measure both on one machine",
        )
    if result.only_in_a:
        raise NnkitError(
            f"{len(result.only_in_a)} cells of a have no time in b, so --fail-above cannot be judged; "
            f"the first: {result.only_in_a[0]}",
            hint="run both with the same options; the JSON of b holds each cell's error",
        )
    if result.regressions:
        worst = max((cell for cell in result.cells if cell.regression), key=lambda cell: cell.change)
        low, high = worst.ci95
        raise GateError(
            f"{result.regressions} of {len(result.cells)} cells are slower by more than "
            f"{result.fail_above:.1%}; the worst, {worst.arm}, takes {worst.change:.3f} times as long "
            f"(95 % {low:.3f} to {high:.3f})"
        )


def _title(key: Key) -> str:
    return f"{key[0]} at " + ", ".join(f"{name}={value}" for name, value in key[1].document().items())


def _shown(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _read(path: Path) -> BenchResult:
    if path.is_dir():
        path = RunDirectory(path).summary_path
    try:
        return read(path, TypeAdapter(BenchResult), strict=True, error=UsageError, hint=AGAIN)
    except FileNotFoundError:
        raise UsageError(
            f"there is no benchmark at {path}",
            hint="name a folder of `nnkit bench`, or its summary.json",
        ) from None


def _relative_times(saved: BenchResult, path: Path) -> dict[Key, np.ndarray]:
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


def _change(a: np.ndarray, b: np.ndarray, seed: int) -> Ratio:
    """b's median over a's, each resampled by itself: the two runs share no rounds."""
    return bootstrap_median_ratio(b, a, seed=seed)
