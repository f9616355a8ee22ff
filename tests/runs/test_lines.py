"""A log of records: what is brought to the disk, and when."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nnkit.runs.lines import LinesFile


def test_a_log_is_on_the_disk_before_a_checkpoint_counts_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: sizes.append(os.fstat(descriptor).st_size))
    log = LinesFile(tmp_path / "log")
    log.append({"epoch": 1})
    mark = log.sync()
    log.close()
    assert sizes == [mark.bytes] == [(tmp_path / "log").stat().st_size]
