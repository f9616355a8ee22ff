"""What the last runs found, kept in mutants/results.json: one sample, and the modules that were run whole."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from mutation.order import module_of
from mutation.score import UNDETECTED, Tally


@dataclass(frozen=True)
class Record:
    """One run: what was tried, when, at which commit, and what it found."""

    commit: str
    date: str
    asked: int
    """Mutants that the run was to try; more than were tried where it was stopped."""
    counts: dict[str, dict[str, int]]
    """How often each verdict was given, by module."""
    undetected: dict[str, str]
    """Mutants that no test detected, with their verdict."""
    seed: int | None = None

    @property
    def tallies(self) -> dict[str, Tally]:
        """The verdicts by module."""
        return {module: Tally(counts) for module, counts in self.counts.items()}

    @property
    def tally(self) -> Tally:
        """The verdicts of all modules together."""
        verdicts = {verdict for counts in self.counts.values() for verdict in counts}
        return Tally({v: sum(counts.get(v, 0) for counts in self.counts.values()) for v in verdicts})

    def of(self, module: str, size: int) -> Record:
        """What the run found in one module, of which it was to try `size` mutants."""
        return dataclasses.replace(
            self,
            asked=size,
            counts={module: self.counts[module]},
            undetected={name: why for name, why in self.undetected.items() if module_of(name) == module},
        )

    @property
    def is_complete(self) -> bool:
        """Whether every mutant that the run was to try has a verdict."""
        return self.tally.tried == self.asked


@dataclass
class Results:
    """The last sample and the last whole run of each module; `sizes` is how many mutants each module has."""

    sizes: dict[str, int] = field(default_factory=dict)
    sample: Record | None = None
    modules: dict[str, Record] = field(default_factory=dict)


def record(
    chosen: Mapping[str, list[str]], verdicts: Mapping[str, str | None], *, seed: int | None = None
) -> Record:
    """What is known of the chosen mutants."""
    known = {
        module: {name: found for name in names if (found := verdicts.get(name)) is not None}
        for module, names in chosen.items()
    }
    return Record(
        commit=commit(),
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        asked=sum(len(names) for names in chosen.values()),
        counts={module: dict(Tally.of(found.values()).counts) for module, found in known.items()},
        undetected={
            name: verdict
            for found in known.values()
            for name, verdict in found.items()
            if verdict in UNDETECTED
        },
        seed=seed,
    )


def commit() -> str:
    """The commit of the working tree, with a plus where something in it is changed."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no")
    return git("rev-parse", "--short=7", "HEAD") + ("+" if changed else "")


def load(path: Path) -> Results:
    """Reads what `save` wrote; nothing where there is no file."""
    if not path.exists():
        return Results()
    read = json.loads(path.read_text(encoding="utf-8"))
    return Results(
        sizes=read["sizes"],
        sample=Record(**read["sample"]) if read["sample"] else None,
        modules={module: Record(**found) for module, found in read["modules"].items()},
    )


def save(path: Path, results: Results) -> None:
    """Writes results as JSON."""
    path.write_text(json.dumps(dataclasses.asdict(results), indent=1, ensure_ascii=False), encoding="utf-8")
