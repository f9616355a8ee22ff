"""A file of records, one JSON object a line, that grows while a run is at work."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from nnkit import files
from nnkit.errors import CheckpointError

REPEAT = "remove it, or repeat the run with its config.toml"


class LinesFile:
    """The file while it is written; it is opened by the first record."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: TextIO | None = None

    def append(self, record: Mapping[str, Any], *, flush: bool = False) -> None:
        """Append one record. With `flush` it outlives this process, though not yet a loss of power."""
        if self._file is None:
            self._file = self.path.open("a", encoding="utf-8")
        self._file.write(files.dumps(record) + "\n")
        if flush:
            self._file.flush()

    def sync(self) -> int:
        """Bring what was written to the disk; the length of the file in bytes."""
        if self._file is None:
            return self.path.stat().st_size if self.path.is_file() else 0
        self._file.flush()
        os.fsync(self._file.fileno())
        return os.fstat(self._file.fileno()).st_size

    def cut(self, length: int) -> None:
        """Leave the first `length` bytes; `CheckpointError` where there are fewer."""
        self.close()
        size = self.path.stat().st_size if self.path.is_file() else 0
        if size < length:
            raise CheckpointError(
                f"{self.path} is damaged: it has {size} bytes, the checkpoint was made with {length}",
                hint="repeat the run with its config.toml",
            )
        if size > length:
            os.truncate(self.path, length)

    def cut_torn_tail(self) -> None:
        """Remove what a kill has left of a last line."""
        if self.path.is_file():
            self.cut(self.path.read_bytes().rfind(b"\n") + 1)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def read_records(path: Path) -> list[dict[str, Any]]:
    """The records of such a file; what follows a torn line is left out.

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
            raise CheckpointError(f"{path} is damaged: a line is nested too deeply", hint=REPEAT) from None
    return [record for record in records if isinstance(record, dict)]
