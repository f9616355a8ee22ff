"""Rounds that choose a fastest cell are not those that its values are of, so that luck is not reported."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from nnkit.results.bench import ArmFidelity, Selection
from nnkit.studies.bench.arms import BatchArm
from nnkit.studies.bench.grid import Setting
from nnkit.studies.bench.selection import split_rounds
from nnkit.studies.bench.timing import Timing
from nnkit.studies.bench.verdicts import Cell, Measurements

NUM_CELLS = 24
EXACT = ArmFidelity(class_="exact", max_abs_error=0, mae_sum=0, levels=None)


def measured(
    seed: int, *, num_rounds: int = 20, noise: float = 0.1, num_cells: int = NUM_CELLS
) -> Measurements:
    """A loop of one cell and a network of many, all of them taking one second but for noise."""
    rng = np.random.default_rng(seed)
    arms = [BatchArm(name, "model", nn.Identity(), torch.zeros(1, 1, 1, 1), "memory", train_s=1.0)
            for name in ("reference-loop", "net")]  # fmt: skip
    settings = [Setting(batch_size=size) for size in range(1, num_cells + 1)]
    cells = [Cell(arms[0], Setting(), "loop", "floor")]
    cells += [Cell(arms[1], setting, str(setting.batch_size), "floor") for setting in settings]
    keys = ["floor", *(cell.key for cell in cells)]
    timings = {key: Timing(tuple(np.exp(noise * rng.standard_normal(num_rounds)))) for key in keys}
    return Measurements(cells, timings, num_images=1, num_rounds=num_rounds, min_effect=0.02)


def mean_log(values: list[float]) -> tuple[float, float]:
    """The mean of the logarithms of ratios, and its standard error."""
    logs = np.log(values)
    return float(logs.mean()), float(logs.std(ddof=1) / np.sqrt(len(logs)))


def test_the_best_of_equal_cells_is_reported_as_equal() -> None:
    ratios: dict[str, list[float]] = {"comparison": [], "fastest": [], "best": []}
    missed = 0
    for seed in range(300):
        found = measured(seed)
        rows = [found.arm_row(cell.arm, EXACT) for cell in found.cells[:2]]
        (pair,) = found.comparisons(rows[1:])
        best, fastest = found.best(rows), rows[1].fastest_cell
        assert best is not None
        assert fastest is not None
        ratios["comparison"].append(pair.ratio)
        ratios["fastest"].append(fastest.speedup)
        ratios["best"].append(best.speedup)
        missed += not pair.ci95[0] <= 1 <= pair.ci95[1]
    for name, values in ratios.items():
        mean, error = mean_log(values)
        assert abs(mean) < 3 * error, name
        assert error < 0.005, name
    assert missed <= 0.08 * 300  # of an interval that holds the truth in 95 of 100


def test_chosen_and_reported_in_the_same_rounds_the_best_looks_faster() -> None:
    """What the halves are for: with too few rounds for them the bias is there, and is told."""
    ratios = []
    for seed in range(100):
        found = measured(seed, num_rounds=9)
        assert not found.selection.separate
        row = found.arm_row(found.cells[1].arm, EXACT)
        assert row.fastest_cell is not None
        ratios.append(row.fastest_cell.speedup)
    mean, error = mean_log(ratios)
    assert mean > 0.05 > 5 * error


@pytest.mark.parametrize("num_rounds", [10, 11, 40])
def test_every_second_round_chooses_and_the_others_are_reported(num_rounds: int) -> None:
    found = split_rounds(num_rounds)
    assert found.separate
    assert sorted(found.choosing_rounds + found.reported_rounds) == list(range(1, num_rounds + 1))
    assert {at % 2 for at in found.choosing_rounds} == {0}
    assert len(found.choosing_rounds) == num_rounds // 2
    assert split_rounds(num_rounds) == found


@pytest.mark.parametrize("num_rounds", [3, 9])
def test_too_few_rounds_are_not_parted(num_rounds: int) -> None:
    every = tuple(range(1, num_rounds + 1))
    assert split_rounds(num_rounds) == Selection(choosing_rounds=every, reported_rounds=every, separate=False)


def test_where_nothing_is_chosen_all_rounds_count() -> None:
    found = measured(0, num_cells=1)
    rows = [found.arm_row(cell.arm, EXACT) for cell in found.cells]
    (pair,) = found.comparisons(rows[1:])
    (cell,), fastest = rows[1].cells, rows[1].fastest_cell
    assert fastest is not None
    assert fastest.n == 20
    assert pair.ratio == cell.speedup == fastest.speedup
    assert (fastest.median_s, fastest.ci95) == (cell.median_s, cell.ci95)


def test_the_break_even_of_a_chosen_cell_is_of_the_reported_rounds() -> None:
    found = measured(0, noise=0.0)
    slow = Timing(tuple(4.0 if at % 2 else 2.0 for at in range(20)))  # 2 s in the rounds that are reported
    fast = Timing(tuple(0.5 if at % 2 else 1.0 for at in range(20)))
    timings = {**found.timings, "loop": slow, "7": fast}
    found = Measurements(found.cells, timings, 1, 20, 0.02)
    row = found.arm_row(found.cells[1].arm, EXACT)
    assert row.fastest_cell is not None
    assert row.fastest_cell.batch_size == 7
    assert row.fastest_cell.median_s == 1.0
    assert row.break_even_images["reference-loop"] == 1  # one second of training, one second saved per image
    assert found.first_break_even([row]) == 1
