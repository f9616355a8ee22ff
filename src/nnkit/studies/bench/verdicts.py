"""Evaluation of the times of a benchmark: cells, comparisons, the best setting, the break-even."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from nnkit.results.bench import (
    ArmFidelity,
    BenchArm,
    BenchCell,
    BenchComparison,
    BestCell,
    FastestCell,
    Selection,
)
from nnkit.studies.bench.arms import Arm
from nnkit.studies.bench.grid import Setting
from nnkit.studies.bench.selection import split_rounds
from nnkit.studies.bench.timing import Ratio, Timing, paired_ratio, verdict

LOOP, BATCHED = "reference-loop", "reference-batched"
STANDS_IN = ("exact", "half-level")
"""The fidelity classes of what may replace the transforms."""
Rounds = tuple[int, ...]


@dataclass(frozen=True)
class Cell:
    """One arm at one setting: the keys of its times and of its floor's, or why it has none."""

    arm: Arm
    setting: Setting
    key: str
    floor_key: str = ""
    error: str | None = None


@dataclass(frozen=True)
class Measurements:
    """The times of all cells of one interleaved run over `num_images` images."""

    cells: Sequence[Cell]
    timings: Mapping[str, Timing]
    num_images: int
    num_rounds: int
    min_effect: float

    @cached_property
    def selection(self) -> Selection:
        """Which rounds choose the fastest cells, and which are reported of them."""
        return split_rounds(self.num_rounds)

    def error(self, cell: Cell) -> str | None:
        """Why a cell has no times, or cannot be judged for want of its floor's; None where it can."""
        if cell.error is not None:
            return cell.error
        own, floor = self.timings[cell.key].error, self.timings[cell.floor_key].error
        return own or (f"its floor could not be timed: {floor}" if floor is not None else None)

    def arm_row(self, arm: Arm, fidelity: ArmFidelity) -> BenchArm:
        """An arm with all its cells, and what it saves against both references."""
        from scipy.stats import gmean

        cells = tuple(self._cell_row(cell) for cell in self.cells if cell.arm is arm)
        speedups = [cell.speedup for cell in cells if cell.speedup]
        train_s: float | None = getattr(arm, "train_s", None)
        return BenchArm(
            name=arm.name,
            kind=arm.kind,
            takes=arm.takes,
            compiled=getattr(arm, "compiled", False),
            copies_timed=getattr(arm, "loader", "memory") == "dataloader",
            note=getattr(arm, "note", ""),
            train_s=train_s,
            fidelity=fidelity,
            speedup_geometric_mean=float(gmean(speedups)) if speedups else None,
            cells=cells,
            break_even_images={
                base: self._break_even(arm.name, train_s, base, self._reported(arm.name, base))
                for base in (LOOP, BATCHED)
            },
            fastest_cell=self._fastest_row(arm.name),
        )

    def _cell_row(self, cell: Cell) -> BenchCell:
        error, setting = self.error(cell), cell.setting.document()
        if error is not None:
            return BenchCell.model_validate({**setting, "error": error, **dict.fromkeys(_MEASURED)})
        timing, seen = self.timings[cell.key], self._num_seen(cell)
        speedup = self._speedup(LOOP, cell, self._reported(LOOP))
        return BenchCell(
            **setting,
            error=None,
            n=len(timing.samples),
            median_s=timing.median_s,
            iqr_s=timing.iqr_s,
            mean_s=timing.mean_s,
            noisy=timing.noisy,
            outliers=timing.num_outliers,
            warm_up_s=timing.warm_up_s,
            images=seen,
            images_per_s=seen / timing.median_s,
            speedup=speedup.value,
            ci95=(speedup.low, speedup.high),
            floor_s=self.timings[cell.floor_key].median_s * seen / self.num_images,
            times_floor=self._times_floor(cell, self._all_rounds),
            samples_s=timing.samples,
        )

    def _fastest_row(self, name: str) -> FastestCell | None:
        """An arm's fastest cell as the rounds that did not choose it show it."""
        cell = self.fastest(name)
        if cell is None:
            return None
        rounds = self._reported(name, LOOP)
        timing, speedup = self._timing(cell, rounds), self._speedup(LOOP, cell, rounds)
        return FastestCell(
            **cell.setting.document(),
            n=len(rounds),
            noisy=timing.noisy,
            median_s=timing.median_s,
            images_per_s=self._num_seen(cell) / timing.median_s,
            speedup=speedup.value,
            ci95=(speedup.low, speedup.high),
            times_floor=self._times_floor(cell, rounds),
        )

    def fastest(self, name: str) -> Cell | None:
        """The cell of an arm with the most images per second in the choosing rounds; None without times."""
        return min(self._timed(name), key=self._chosen_by, default=None)

    def _chosen_by(self, cell: Cell) -> float:
        return self._seconds_per_image(cell, self.selection.choosing_rounds)

    def _timed(self, name: str) -> list[Cell]:
        return [cell for cell in self.cells if cell.arm.name == name and self.error(cell) is None]

    def _reported(self, *names: str) -> Rounds:
        """The rounds that count for these arms' fastest cells: all where none of them has several."""
        is_chosen = any(len(self._timed(name)) > 1 for name in names)
        return self.selection.reported_rounds if is_chosen else self._all_rounds

    @property
    def _all_rounds(self) -> Rounds:
        return tuple(range(1, self.num_rounds + 1))

    def _timing(self, cell: Cell, rounds: Rounds) -> Timing:
        return self.timings[cell.key].of_rounds(rounds)

    def _num_seen(self, cell: Cell) -> int:
        return cell.setting.num_seen(self.num_images)

    def _seconds_per_image(self, cell: Cell, rounds: Rounds) -> float:
        return self._timing(cell, rounds).median_s / self._num_seen(cell)

    def _times_floor(self, cell: Cell, rounds: Rounds) -> float:
        floor = paired_ratio(self._timing(cell, rounds), self.timings[cell.floor_key].of_rounds(rounds))
        return floor.value * self.num_images / self._num_seen(cell)

    def _speedup(self, reference: str, cell: Cell, rounds: Rounds) -> Ratio:
        """How many times as many images per second as the reference's fastest cell; both see each image."""
        base = self.fastest(reference)
        assert base is not None
        per_image = self._num_seen(base) / self._num_seen(cell)
        ratio = paired_ratio(self._timing(base, rounds), self._timing(cell, rounds))
        return Ratio(ratio.value / per_image, ratio.low / per_image, ratio.high / per_image)

    def comparisons(self, rows: Sequence[BenchArm]) -> tuple[BenchComparison, ...]:
        """The exact operator and every network against both references, each at its fastest setting.

        `ratio` is how many times the images per second of `b` that `a` has.
        """
        found = []
        for row in rows:
            fastest = self.fastest(row.name)
            if fastest is None or (row.kind == "reference" and not row.name.startswith("exact")):
                continue
            for reference in (LOOP, BATCHED):
                if self.fastest(reference) is None:
                    continue
                ratio = self._speedup(reference, fastest, self._reported(row.name, reference))
                found.append(
                    BenchComparison(
                        a=row.name,
                        b=reference,
                        ratio=ratio.value,
                        ci95=(ratio.low, ratio.high),
                        verdict=verdict(ratio.inverse, self.min_effect),
                        class_=row.fidelity.class_,
                        replaces=row.fidelity.class_ in STANDS_IN,
                    )
                )
        return tuple(found)

    def best(self, rows: Sequence[BenchArm]) -> BestCell | None:
        """The fastest cell of all arms whose output may replace the transforms'."""
        classes = {row.name: row.fidelity.class_ for row in rows if row.fidelity.class_ in STANDS_IN}
        cells = [cell for name in classes for cell in self._timed(name)]
        if not cells:
            return None
        best = min(cells, key=self._chosen_by)
        fidelity = classes[best.arm.name]
        assert fidelity is not None
        rounds = self.selection.reported_rounds if len(cells) > 1 else self._all_rounds
        speedup = self._speedup(LOOP, best, rounds)
        seconds = self._timing(best, rounds).median_s
        return BestCell(
            **best.setting.document(),
            arm=best.arm.name,
            class_=fidelity,
            median_s=seconds,
            images_per_s=self._num_seen(best) / seconds,
            speedup=speedup.value,
            ci95=(speedup.low, speedup.high),
            times_floor=self._times_floor(best, rounds),
        )

    def first_break_even(self, rows: Sequence[BenchArm]) -> int | None:
        """Of the fastest network that may replace the transforms and whose training time is saved."""
        known = [
            (cell, row)
            for row in rows
            if row.break_even_images[LOOP] is not None and row.fidelity.class_ in STANDS_IN
            if (cell := self.fastest(row.name)) is not None
        ]
        if not known:
            return None
        _, row = min(known, key=lambda pair: self._chosen_by(pair[0]))
        if len(known) == 1:
            return row.break_even_images[LOOP]
        return self._break_even(row.name, row.train_s, LOOP, self.selection.reported_rounds)

    def _break_even(self, name: str, train_s: float | None, reference: str, rounds: Rounds) -> int | None:
        """After how many images the network's training has been saved, against a reference's fastest setting.

        None where its training time is not known or it saves nothing.
        """
        cell, other = self.fastest(name), self.fastest(reference)
        if cell is None or other is None or train_s is None:
            return None
        saved = self._seconds_per_image(other, rounds) - self._seconds_per_image(cell, rounds)
        return math.ceil(train_s / saved) if saved > 0 else None


_MEASURED = (
    "n", "median_s", "iqr_s", "mean_s", "noisy", "outliers", "warm_up_s", "images", "images_per_s", "speedup",
    "ci95", "floor_s", "times_floor", "samples_s",
)  # fmt: skip
