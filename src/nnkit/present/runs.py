"""One run's page, as `nnkit runs show` prints it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnkit.present.tables import key_values, table, train_table
from nnkit.present.text import metric


def run_text(document: Mapping[str, Any], *, width: int = 80) -> str:
    """State and result, the epochs, the configuration, the files."""
    status = document["status"]
    pairs = [
        (key, status[key]) for key in ("state", "reason", "started", "heartbeat", "host") if status.get(key)
    ]
    parts = [key_values([("run", document["run_dir"]), *pairs], width=width)]
    if document["summary"]:
        parts.append(train_table(document["summary"], width=width))
    if document["epochs"]:
        parts.append(_epochs(document["epochs"], width))
    if document["config"]:
        parts.append(document["config"].strip())
    parts.append("\n".join(document["files"]))
    return "\n\n".join(parts)


def files_left(run_dir: Path) -> str:
    """The path of each file that a run left, one a line."""
    paths = (path for path in run_dir.rglob("*") if path.is_file())
    return "\n".join(str(path) for path in sorted(paths, key=lambda path: (len(path.parts), path)))


def _epochs(epochs: list[Mapping[str, Any]], width: int) -> str:
    names = [
        key
        for key in ("train_loss", "val_loss", "val_accuracy", "val_mae_sum")
        if key in epochs[0]["metrics"]
    ]
    rows = [
        [epoch["epoch"], *(metric(name, epoch["metrics"].get(name)) for name in names)] for epoch in epochs
    ]
    return table(rows, ["epoch", *names], width=width)
