"""metrics.jsonl: one JSON record a line, for each epoch, and for each step of the first epoch."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from nnkit import files
from nnkit.errors import CheckpointError
from nnkit.types import EpochResult

TIMES = ("train_s", "data_wait_s", "seconds", "images_per_s")
"""What a record says of how fast the machine was: no two runs agree on it."""


class MetricsFile:
    """The log of a run while it is written; the file is opened by the first record."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None

    def step(self, *, epoch: int, step: int, loss: float, learning_rate: float) -> None:
        """Append one step."""
        self._write(
            {"kind": "step", "epoch": epoch, "step": step, "loss": loss, "learning_rate": learning_rate}
        )

    def epoch(self, result: EpochResult) -> None:
        """Append one epoch and let readers see it."""
        record = asdict(result)
        del record["validation"]  # all its values are in `metrics` and `by_resolution`
        self._write({"kind": "epoch", **record})
        assert self._file is not None
        self._file.flush()

    def sync(self) -> int:
        """Bring what was written to the disk; the length of the file in bytes."""
        if self._file is None:
            return self._path.stat().st_size if self._path.is_file() else 0
        self._file.flush()
        os.fsync(self._file.fileno())
        return os.fstat(self._file.fileno()).st_size

    def cut(self, length: int) -> None:
        """Leave the first `length` bytes; `CheckpointError` where there are fewer."""
        self.close()
        size = self._path.stat().st_size if self._path.is_file() else 0
        if size < length:
            raise CheckpointError(
                f"{self._path} is damaged: it has {size} bytes, the checkpoint was made with {length}",
                hint="repeat the run with its config.toml",
            )
        if size > length:
            os.truncate(self._path, length)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, record: Mapping[str, Any]) -> None:
        if self._file is None:
            self._file = self._path.open("a", encoding="utf-8")
        self._file.write(files.dumps(record) + "\n")


def read_records(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a metrics.jsonl; what follows a torn line is left out.

    `CheckpointError` for a line that no run has written.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    records = []
    for line in lines:
        try:
            records.append(json.loads(line))
        except ValueError:
            break
        except RecursionError:
            hint = "remove it, or repeat the run with its config.toml"
            raise CheckpointError(f"{path} is damaged: a line is nested too deeply", hint=hint) from None
    return [record for record in records if isinstance(record, dict)]
