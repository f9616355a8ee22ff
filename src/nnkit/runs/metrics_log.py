"""metrics.jsonl: one JSON record a line, for each epoch, and for each step of the first epoch."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from nnkit import files
from nnkit.errors import CheckpointError
from nnkit.types import EpochResult

TIMES = ("train_s", "data_wait_s", "seconds", "images_per_s")
"""What a record says of how fast the machine was: no two runs agree on it."""


@dataclass(frozen=True)
class LogMark:
    """How far a log was written when a checkpoint was made: its bytes, and their CRC-32 (None: not known)."""

    bytes: int
    crc32: int | None


class MetricsFile:
    """The log of a run while it is written; the file is opened by the first record."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None
        self._crc32 = 0
        """Of all that was written, kept up to date: a save reads nothing again."""

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
        with files.explained(self._path):
            self._file.flush()

    def sync(self) -> LogMark:
        """Bring what was written to the disk, and say how far that is."""
        if self._file is None:
            content = self._content()
            return LogMark(len(content), zlib.crc32(content))
        with files.explained(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())
            return LogMark(os.fstat(self._file.fileno()).st_size, self._crc32)

    def check(self, mark: LogMark) -> None:
        """`CheckpointError` unless the file begins with what it held at `mark`."""
        content = self._content()
        if len(content) < mark.bytes:
            why = f"it has {len(content)} bytes, the checkpoint was made with {mark.bytes}"
        elif mark.crc32 not in (None, zlib.crc32(content[: mark.bytes])):
            why = "it was changed after the checkpoint was made"
        else:
            return
        raise CheckpointError(
            f"{self._path} is damaged: {why}",
            hint="put it back from a copy, or repeat the run with its config.toml",
        )

    def cut(self, mark: LogMark) -> None:
        """Leave what the file held at `mark`; `CheckpointError` where it no longer does."""
        self.close()
        self.check(mark)
        if self._path.is_file():
            os.truncate(self._path, mark.bytes)

    def _content(self) -> bytes:
        return self._path.read_bytes() if self._path.is_file() else b""

    def close(self) -> None:
        """Close the file; `WriteError` where what it still holds cannot be written."""
        file, self._file = self._file, None
        if file is not None:
            with files.explained(self._path):
                file.close()

    def _write(self, record: Mapping[str, Any]) -> None:
        if self._file is None:
            self._crc32 = zlib.crc32(self._content())
            with files.explained(self._path):
                self._file = self._path.open("a", encoding="utf-8", newline="\n")
        line = files.dumps(record) + "\n"
        with files.explained(self._path):
            self._file.write(line)
        self._crc32 = zlib.crc32(line.encode(), self._crc32)


def read_records(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a metrics.jsonl; what follows a torn line is left out.

    `CheckpointError` for a line that no run has written.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        if not files.is_damage(error):
            raise
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
