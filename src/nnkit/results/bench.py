"""The result of `nnkit bench`: its file bench.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from nnkit.results.base import Interval, Number, Part, Result
from nnkit.results.environment import Environment
from nnkit.results.metrics import FidelityClass, Levels

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Verdict = Literal["faster", "slower", "no difference"]


class BenchEnvironment(Environment):
    """What the times depend on beside versions and processor. `commit` is of a checkout of nnkit."""

    threads: int
    load_average: tuple[float, ...] | None
    gpus: tuple[str, ...]
    flags: Mapping[str, str]
    commit: str | None


class Sitting(Part):
    """Rounds that were measured at one go: their number, when it began, in ISO 8601, and the load then."""

    rounds: int
    started: str
    load_average: tuple[float, ...] | None


class AtSetting(Part):
    """One point of the grid."""

    device: str
    batch_size: int
    num_workers: int
    shuffle: bool
    drop_last: bool
    pin_memory: bool


class BenchCell(AtSetting):
    """One arm at one setting: its times, or the `error` for which it has none, and then all else is None.

    Times are of one pass over `images`. `speedup` is how many times the images per second of
    `reference-loop` it has, in paired rounds; `times_floor` how many times as long it takes as reading the
    input and writing the output.
    """

    error: str | None
    n: int | None
    median_s: Number | None
    iqr_s: Number | None
    mean_s: Number | None
    noisy: bool | None
    outliers: int | None
    warm_up_s: Number | None
    images: int | None
    images_per_s: Number | None
    speedup: Number | None
    ci95: Interval | None
    floor_s: Number | None
    times_floor: Number | None
    samples_s: tuple[Seconds, ...] | None

    @property
    def speed(self) -> float:
        """Images per second, 0 where there is no time."""
        return self.images_per_s or 0.0


class ReportedCell(AtSetting):
    """What a fastest cell's values are in the rounds that are reported: see `Selection`."""

    median_s: Number
    images_per_s: Number
    speedup: Number
    ci95: Interval
    times_floor: Number

    @property
    def speed(self) -> float:
        """Images per second."""
        return self.images_per_s


class FastestCell(ReportedCell):
    """An arm's fastest cell; `n` rounds are reported: all of them where the arm has no other cell."""

    n: int
    noisy: bool


class Selection(Part):
    """Which rounds choose the fastest cells, and which their values are of; rounds count from 1.

    Where nothing is chosen, as between two arms of one cell each, all rounds are reported. Without `separate`
    there were too few rounds for two halves, and what was chosen looks faster than it is.
    """

    choosing_rounds: tuple[int, ...]
    reported_rounds: tuple[int, ...]
    separate: bool


class ArmFidelity(Part):
    """How far an arm's output is from the reference's; `error` says why it has none here."""

    class_: FidelityClass | None = Field(validation_alias="class", serialization_alias="class")
    max_abs_error: Number
    mae_sum: Number
    levels: Levels | None
    error: str | None = None


class BenchArm(Part):
    """One thing that was timed. `copies_timed`: whether copies to the device are part of its times.

    `train_s` is None where the training time is not known. `break_even_images`, by reference, is after how
    many images that time is saved, None where it never is. `fastest_cell` is None where no cell was timed,
    and in a benchmark saved before the rounds were parted.
    """

    name: str
    kind: Literal["reference", "model"]
    takes: str
    compiled: bool
    copies_timed: bool
    note: str
    train_s: Number | None
    fidelity: ArmFidelity
    speedup_geometric_mean: Number | None
    cells: tuple[BenchCell, ...]
    break_even_images: Mapping[str, int | None]
    fastest_cell: FastestCell | None = None

    @property
    def fastest(self) -> FastestCell | BenchCell:
        """The fastest cell; where none is reported as such, that of the most images per second."""
        return self.fastest_cell or max(self.cells, key=lambda cell: cell.speed)


class BenchComparison(Part):
    """An arm against a reference, each at its fastest: `ratio` is of their images per second, a over b.

    It is of the reported rounds, or of all where neither has more than one cell: see `Selection`.

    `replaces`: whether the output of `a` may replace the transforms'.
    """

    a: str
    b: str
    ratio: Number
    ci95: Interval
    verdict: Verdict
    class_: FidelityClass | None = Field(validation_alias="class", serialization_alias="class")
    replaces: bool


class BestCell(ReportedCell):
    """The fastest cell of all arms whose output may replace the transforms'."""

    arm: str
    class_: FidelityClass = Field(validation_alias="class", serialization_alias="class")


class BenchResult(Result):
    """What a benchmark measured. Times are of one pass over the images, in seconds.

    `sittings` are those of a benchmark that was interrupted and resumed, in the order of their rounds; None
    for one that was measured at one go.
    """

    schema_name: Literal["nnkit.bench/1"] = Field(
        default="nnkit.bench/1", validation_alias="schema", serialization_alias="schema"
    )
    run_dir: Path | None = None  # benchmarks were not always runs: one saved before can still be compared
    environment: BenchEnvironment
    dataset: str
    pipeline: str
    images: int
    loader: str
    preset: str | None
    repeats: int
    min_effect: float
    seed: int
    sittings: tuple[Sitting, ...] | None = None
    selection: Selection | None = None  # not of one saved before the rounds were parted
    arms: tuple[BenchArm, ...]
    comparisons: tuple[BenchComparison, ...]
    best: BestCell | None
    break_even_images: int | None
