"""A file of records, one JSON object a line, that grows while a run is at work."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from nnkit import files
from nnkit.errors import CheckpointError

REPEAT = "remove it, or repeat the run with its config.toml"


@dataclass(frozen=True)
class LogMark:
    """How far a log was written when a checkpoint was made: its bytes, and their CRC-32 (None: not known)."""

    bytes: int
    crc32: int | None


class LinesFile:
    """The file while it is written; it is opened by the first record."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: TextIO | None = None
        self._crc32 = 0
        """Of all that was written, kept up to date: a save reads nothing again."""

    def append(self, record: Mapping[str, Any], *, flush: bool = False) -> None:
        """Append one record. With `flush` it outlives this process, though not yet a loss of power."""
        if self._file is None:
            self._crc32 = zlib.crc32(self._content())
            with files.explained(self.path):
                self._file = self.path.open("a", encoding="utf-8", newline="\n")
        line = files.dumps(record) + "\n"
        with files.explained(self.path):
            self._file.write(line)
            if flush:
                self._file.flush()
        self._crc32 = zlib.crc32(line.encode(), self._crc32)

    def sync(self) -> LogMark:
        """Bring what was written to the disk, and say how far that is."""
        if self._file is None:
            content = self._content()
            return LogMark(len(content), zlib.crc32(content))
        with files.explained(self.path):
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
            f"{self.path} is damaged: {why}",
            hint="put it back from a copy, or repeat the run with its config.toml",
        )

    def cut(self, mark: LogMark) -> None:
        """Leave what the file held at `mark`; `CheckpointError` where it no longer does."""
        self.close()
        self.check(mark)
        if self.path.is_file():
            os.truncate(self.path, mark.bytes)

    def cut_torn_tail(self) -> None:
        """Remove what a kill has left of a last line."""
        if self.path.is_file():
            content = self._content()
            whole = content[: content.rfind(b"\n") + 1]
            self.cut(LogMark(len(whole), zlib.crc32(whole)))

    def _content(self) -> bytes:
        return self.path.read_bytes() if self.path.is_file() else b""

    def close(self) -> None:
        """Close the file; `WriteError` where what it still holds cannot be written."""
        file, self._file = self._file, None
        if file is not None:
            with files.explained(self.path):
                file.close()


def read_records(path: Path) -> list[dict[str, Any]]:
    """The records of such a file; what follows a torn line is left out.

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
            raise CheckpointError(f"{path} is damaged: a line is nested too deeply", hint=REPEAT) from None
    return [record for record in records if isinstance(record, dict)]
