"""The rounds of a benchmark in its folder: each is kept when it is complete; a later sitting adds to them.

rounds.jsonl holds for each sitting a line that says what was measured and where, one for its warm-up, and
then one a round. A kill loses no complete round.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from nnkit.errors import CheckpointError, UsageError
from nnkit.results.base import Part
from nnkit.results.bench import BenchEnvironment, Seconds, Sitting
from nnkit.results.reading import explain
from nnkit.runs.directory import RunDirectory
from nnkit.runs.status import utc_now
from nnkit.studies.bench.machine import machine_differences, software_differences
from nnkit.studies.bench.timing import Measured, Round

SYNC_S = 5.0
"""The least time between two writes to the disk itself: what lies before it outlives a kill, too."""


class Plan(Part):
    """A sitting's first line: what is timed and where. `contents` are digests of what could change."""

    kind: Literal["sitting"] = "sitting"
    started: str
    environment: BenchEnvironment
    names: tuple[str, ...]
    contents: Mapping[str, str]


class _Line(Part):
    """The runs of the warm-up or of a round, by the names of `Plan`."""

    kind: Literal["warm-up", "round"]
    seconds: Mapping[str, Seconds]
    errors: Mapping[str, str] = {}

    def as_round(self) -> Round:
        return Round(self.seconds, self.errors)


_LINE: TypeAdapter[Plan | _Line] = TypeAdapter(Annotated[Plan | _Line, Field(discriminator="kind")])


class _Sitting:
    """One plan, and what was measured by it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.warm_up: Round | None = None
        self.rounds: list[Round] = []


class Record:
    """What a benchmark has measured, now and before; without a folder it is kept in memory alone."""

    def __init__(self, folder: RunDirectory | None) -> None:
        self._folder = folder
        self._synced = time.monotonic()
        self._sittings: list[_Sitting] = []
        if folder is not None:
            folder.rounds.cut_torn_tail()
            self._sittings = [sitting for sitting in _read(folder.rounds.path) if sitting.rounds]

    @property
    def num_rounds(self) -> int:
        """How many rounds are complete."""
        return sum(len(sitting.rounds) for sitting in self._sittings)

    @property
    def measured(self) -> Measured | None:
        """What was measured before; None where that is nothing."""
        warmed_up = [sitting.warm_up for sitting in self._sittings if sitting.warm_up is not None]
        if not self.num_rounds:
            return None
        errors = {name: why for each in warmed_up for name, why in each.errors.items()}
        rounds = tuple(each for sitting in self._sittings for each in sitting.rounds)
        return Measured(Round(warmed_up[0].seconds, errors), rounds)

    def check_machine(self, environment: BenchEnvironment) -> None:
        """`UsageError` where rounds were measured on another machine, or with other software."""
        if not self.num_rounds:
            return
        before = self._sittings[0].plan.environment
        machine, software = (
            machine_differences(before, [environment]),
            software_differences(before, environment),
        )
        if machine or software:
            what = "on another machine" if machine else "with other software"
            raise UsageError(
                f"{self._where} was measured {what}:\n  " + "\n  ".join(machine or software),
                hint="resume it where it was begun, or start a new benchmark",
            )

    def begin(
        self, environment: BenchEnvironment, names: tuple[str, ...], contents: Mapping[str, str]
    ) -> None:
        """Begin a sitting. `UsageError` where what it times is not what was timed before."""
        plan = Plan(started=utc_now(), environment=environment, names=names, contents=contents)
        if self._sittings:
            self._check_same(self._sittings[0].plan, plan)
        self._sittings.append(_Sitting(plan))
        self._append(plan)

    def keep(self, found: Round) -> None:
        """Add a complete round to this sitting; the first is its warm-up."""
        sitting = self._sittings[-1]
        is_warm_up = sitting.warm_up is None
        if is_warm_up:
            sitting.warm_up = found
        else:
            sitting.rounds.append(found)
        kind: Literal["warm-up", "round"] = "warm-up" if is_warm_up else "round"
        self._append(_Line(kind=kind, seconds=found.seconds, errors=found.errors))

    def sync(self) -> None:
        """Bring all rounds to the disk."""
        if self._folder is not None:
            self._folder.rounds.sync()

    def environment(self) -> BenchEnvironment:
        """What the first of its rounds were measured on."""
        return self._sittings[0].plan.environment

    def sittings(self) -> tuple[Sitting, ...] | None:
        """The sittings that have rounds; None where there is but one."""
        found = tuple(
            Sitting(
                rounds=len(sitting.rounds),
                started=sitting.plan.started,
                load_average=sitting.plan.environment.load_average,
            )
            for sitting in self._sittings
            if sitting.rounds  # one may only have added up what was measured before
        )
        return found if len(found) > 1 else None

    @property
    def _where(self) -> Path | str:
        return self._folder.path if self._folder is not None else "the benchmark"

    def _check_same(self, before: Plan, now: Plan) -> None:
        changed = [name for name in before.contents if before.contents[name] != now.contents.get(name)]
        if changed:
            raise UsageError(
                f"{self._where} was measured with other {changed[0]}",
                hint="resume it with the data and networks as they were, or start a new benchmark",
            )
        if before.names != now.names:
            raise UsageError(
                f"{self._where} has {len(before.names)} times in a round, now it would be {len(now.names)}: "
                "not the same cells can run now as before",
                hint="resume it when it can again, as with memory free, or start a new benchmark",
            )

    def _append(self, line: Part) -> None:
        if self._folder is None:
            return
        self._folder.rounds.append(line.document(), flush=True)
        now = time.monotonic()
        if now - self._synced >= SYNC_S:
            self._synced = now
            self.sync()
        self._folder.beat()


def _read(path: Path) -> list[_Sitting]:
    """The sittings in a rounds.jsonl; none where there is no file. `CheckpointError` where it is damaged."""
    sittings: list[_Sitting] = []
    has_failed: set[str] = set()
    for number, line in _lines(path):
        if isinstance(line, Plan):
            sittings.append(_Sitting(line))
        elif not sittings or (line.kind == "warm-up") != (sittings[-1].warm_up is None):
            raise _damaged(path, number, "it is out of place")
        else:
            has_failed |= line.errors.keys()
            if {*sittings[-1].plan.names} != line.seconds.keys() | has_failed:
                raise _damaged(path, number, "it is not of the arms that were timed")
            if line.kind == "warm-up":
                sittings[-1].warm_up = line.as_round()
            else:
                sittings[-1].rounds.append(line.as_round())
    return sittings


def _lines(path: Path) -> Iterator[tuple[int, Plan | _Line]]:
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return
    for number, line in enumerate(lines, 1):
        try:
            yield number, _LINE.validate_json(line)
        except ValidationError as wrong:
            raise _damaged(path, number, explain(wrong)) from None


def _damaged(path: Path, line: int, why: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is damaged in line {line}: {why}",
        hint="start a new benchmark with the config.toml beside it",
    )
