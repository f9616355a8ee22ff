"""Runs as `nnkit runs list` prints them, and one run's page as `nnkit runs show` does."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from nnkit.present.bench import bench_table
from nnkit.present.compare_pooling import comparison_table
from nnkit.present.layout import WIDTH, fits, joined, key_values, table
from nnkit.present.text import count, counted, duration, metric
from nnkit.present.train import train_table
from nnkit.present.train_seeds import train_seeds_table
from nnkit.results.bench import BenchResult
from nnkit.results.compare_pooling import ComparePoolingResult
from nnkit.results.environment import EnvironmentChange
from nnkit.results.runs import EpochRecord, RunResult, RunRow, RunsResult, SavedCheckpoints, Summary
from nnkit.results.train_seeds import TrainSeedsResult
from nnkit.runs.directory import RunDirectory

_CELLS = "cells/"
"""Where a comparison, or a training with several seeds, keeps the folders of its runs."""


def runs_table(result: RunsResult, *, width: int = WIDTH) -> str:
    """Runs, one per line. A name stays whole so that it can be copied.

    On a narrow terminal columns give way one by one, which is said below; at last each run is a block.
    """
    listed = result.runs
    if not listed:
        return f"No runs in {result.runs_dir}."
    columns: dict[str, Sequence[object]] = {
        "name": [row.name for row in listed],
        "state": [row.state for row in listed],
        "best": [_best(row) for row in listed],
        "dataset": [row.dataset for row in listed],
        "model": [row.model for row in listed],
        "epochs": [count(row.epochs) for row in listed],
        "time": [duration(row.seconds) for row in listed],
        "started": [row.started for row in listed],
    }
    letters = dict(zip(columns, "nnrnnrrn", strict=True))
    shown, hidden = list(columns), []
    for given_way in ("", "started", "model", "dataset", "time", "epochs"):
        if given_way:
            shown.remove(given_way)
            hidden.append(given_way)
        rows = list(zip(*(columns[name] for name in shown), strict=True))
        align = "".join(letters[name] for name in shown)
        if fits(rows, shown, align, width):
            note = f"Not shown at this width: {', '.join(hidden)}." if hidden else ""
            return joined(table(rows, shown, align=align, width=width), note)
    return table(zip(*columns.values(), strict=True), list(columns), align="nnrnnrrn", width=width)


def _best(row: RunRow) -> str:
    if row.winner:
        return f"winner {row.winner}"
    best = metric(row.metric or "", row.best)
    return best if row.seeds is None else f"{best}, {counted(row.seeds, 'seed')}"


def run_text(result: RunResult, *, width: int = WIDTH) -> str:
    """State and result, the epochs, the configuration, the files."""
    status = result.status
    pairs = [
        ("run", result.run_dir),
        ("state", status.state),
        ("reason", status.reason),
        ("started", status.started),
        ("heartbeat", status.heartbeat),
        ("host", status.host),
        ("checkpoints", _saved(result.checkpoints)),
        ("resume with", result.resume),
        ("resumed", _how_exact(result.checkpoints)),
        *(("changed on resuming", change) for change in changed(result.environment_changes)),
    ]
    return joined(
        key_values([(key, value) for key, value in pairs if value], width=width),
        _summary(result.summary, width) if result.summary else "",
        _epochs(result.epochs, width),
        (result.config or "").strip(),
        _files(result.files),
    )


def changed(changes: Sequence[EnvironmentChange], most: int = 12) -> list[str]:
    """Each thing that differs between two environments on a line: "library torch: 2.8.0, then 2.9.0"."""
    lines = [f"{each.name}: {_value(each.before)}, then {_value(each.after)}" for each in changes]
    rest = len(lines) - most
    return [*lines[:most], *([f"and {counted(rest, 'other thing')}"] if rest > 0 else [])]


def _value(value: str | None) -> str:
    """A value on one line: twelve digits of a hash are enough to tell two apart."""
    return "none" if value is None else value[:12] if re.fullmatch(r"[0-9a-f]{64}", value) else value


def _saved(saved: SavedCheckpoints | None) -> str | None:
    if saved is None:
        return None
    place = f"the newest after epoch {saved.epoch}, step {saved.step:,}"
    return f"{saved.number}, {place}; {saved.bytes / 1e6:,.1f} MB on the disk"


def _how_exact(saved: SavedCheckpoints | None) -> str | None:
    """A line on runs that are not promised to go on to the bit."""
    if saved is None or saved.not_exact is None:
        return None
    return f"not promised to the bit: {saved.not_exact}"


def _summary(summary: Summary, width: int) -> str:
    if isinstance(summary, ComparePoolingResult):
        return comparison_table(summary, width=width)
    if isinstance(summary, BenchResult):
        return bench_table(summary, width=width)
    if isinstance(summary, TrainSeedsResult):
        return train_seeds_table(summary, width=width)
    return train_table(summary, width=width)


def _files(files: Sequence[str]) -> str:
    """The run's own files one a line, those of its cells as a count."""
    own = [name for name in files if not name.startswith(_CELLS)]
    rest = len(files) - len(own)
    return "\n".join([*own, *([f"{_CELLS} with {counted(rest, 'file')}"] if rest else [])])


def files_left(run_dir: Path) -> str:
    """The path of each file that a run left, one a line."""
    names = map(Path, RunDirectory(run_dir).file_names())
    return "\n".join(str(run_dir / name) for name in sorted(names, key=lambda name: (len(name.parts), name)))


def _epochs(epochs: Sequence[EpochRecord], width: int) -> str:
    if not epochs:
        return ""
    names = [
        key for key in ("train_loss", "val_loss", "val_accuracy", "val_mae_sum") if key in epochs[0].metrics
    ]
    rows = [[epoch.epoch, *(metric(name, epoch.metrics.get(name)) for name in names)] for epoch in epochs]
    return table(rows, ["epoch", *names], width=width)
