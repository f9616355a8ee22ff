"""Evaluation of the times of a benchmark: cells, comparisons, the best setting, the break-even."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nnkit.results.bench import ArmFidelity, BenchArm, BenchCell, BenchComparison, BestCell
from nnkit.studies.bench.arms import Arm
from nnkit.studies.bench.grid import Setting
from nnkit.studies.bench.timing import Ratio, Timing, geometric_mean, paired_ratio, verdict

LOOP, BATCHED = "reference-loop", "reference-batched"
STANDS_IN = ("exact", "half-level")
"""The fidelity classes of what may replace the transforms."""


@dataclass(frozen=True)
class Cell:
    """One arm at one setting: the key of its times, or why it has none."""

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
    min_effect: float

    def arm_row(self, arm: Arm, fidelity: ArmFidelity) -> BenchArm:
        """An arm with all its cells, and what it saves against both references."""
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
            speedup_geometric_mean=geometric_mean(speedups) if speedups else None,
            cells=cells,
            break_even_images={base: self._break_even(arm.name, train_s, base) for base in (LOOP, BATCHED)},
        )

    def _cell_row(self, cell: Cell) -> BenchCell:
        timing = self.timings.get(cell.key)
        error = cell.error or (timing.error if timing else None)
        setting = cell.setting.document()
        if timing is None or error is not None:
            return BenchCell.model_validate({**setting, "error": error, **dict.fromkeys(_MEASURED)})
        seen = cell.setting.num_seen(self.num_images)
        speedup = self._speedup(LOOP, timing, seen)
        floor = paired_ratio(timing, self.timings[cell.floor_key])
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
            times_floor=floor.value * self.num_images / seen,
            samples_s=timing.samples,
        )

    def _speedup(self, reference: str, timing: Timing, seen: int) -> Ratio:
        """How many times as many images per second as the reference's fastest cell; both see each image."""
        base = self.fastest(reference)
        assert base is not None
        per_image = base.setting.num_seen(self.num_images) / seen
        ratio = paired_ratio(self.timings[base.key], timing)
        return Ratio(ratio.value / per_image, ratio.low / per_image, ratio.high / per_image)

    def fastest(self, name: str) -> Cell | None:
        """The cell of an arm with the most images per second; None where none could be timed."""
        own = [cell for cell in self.cells if cell.arm.name == name and self._timed(cell)]
        return min(own, key=self._seconds_per_image, default=None)

    def _timed(self, cell: Cell) -> bool:
        timing = self.timings.get(cell.key)
        return cell.error is None and timing is not None and timing.error is None

    def _seconds_per_image(self, cell: Cell) -> float:
        return self.timings[cell.key].median_s / cell.setting.num_seen(self.num_images)

    def comparisons(self, rows: Sequence[BenchArm]) -> tuple[BenchComparison, ...]:
        """The exact operator and every network against both references, each at its fastest setting.

        `ratio` is how many times the images per second of `b` that `a` has.
        """
        found = []
        for row in rows:
            fastest = self.fastest(row.name)
            if fastest is None or (row.kind == "reference" and not row.name.startswith("exact")):
                continue
            seen = fastest.setting.num_seen(self.num_images)
            for reference in (LOOP, BATCHED):
                if self.fastest(reference) is None:
                    continue
                ratio = self._speedup(reference, self.timings[fastest.key], seen)
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
        cells = [
            (row, cell, fidelity)
            for row in rows
            if (fidelity := row.fidelity.class_) is not None and fidelity in STANDS_IN
            for cell in row.cells
            if cell.images_per_s
        ]
        if not cells:
            return None
        row, cell, fidelity = max(cells, key=lambda pair: pair[1].speed)
        values = {name: getattr(cell, name) for name in BestCell.model_fields if hasattr(cell, name)}
        return BestCell(**values, arm=row.name, class_=fidelity)

    def _break_even(self, name: str, train_s: float | None, reference: str) -> int | None:
        """After how many images the network's training has been saved, against a reference's fastest setting.

        None where its training time is not known or it saves nothing.
        """
        cell, other = self.fastest(name), self.fastest(reference)
        if cell is None or other is None or train_s is None:
            return None
        saved = self._seconds_per_image(other) - self._seconds_per_image(cell)
        return math.ceil(train_s / saved) if saved > 0 else None


_MEASURED = (
    "n", "median_s", "iqr_s", "mean_s", "noisy", "outliers", "warm_up_s", "images", "images_per_s", "speedup",
    "ci95", "floor_s", "times_floor", "samples_s",
)  # fmt: skip
