"""Row 3 of docs/reliability.md: a disk that is full at any write of a run, a resumed run or a benchmark.

The same for too few file descriptors. See `write_faults` for how each call is made to fail.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tiny_plugin import TinyPlugin

ERROR = "nnkit: error: "


def rows_of(tiny: TinyPlugin, tmp_path: Path, *arguments: str) -> list[dict[str, Any]]:
    place = tmp_path / "place"
    place.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "reliability.write_faults", str(place), *arguments],
        env=tiny.env, capture_output=True, text=True, timeout=540, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    rows: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return rows


def check_message(row: dict[str, Any]) -> None:
    """One message, with the file or folder, the reason, and where a file is written the free space."""
    text: str = row["text"]
    assert text.count(ERROR) == 1, text
    assert "bug" not in text, text
    assert "Traceback" not in text, text
    message = text.partition(ERROR)[2]
    assert row["run"] in message
    assert "No space left on device" in message
    if "cannot be written" in message:
        assert "MiB are free there" in message


def check_after(row: dict[str, Any]) -> None:
    """Nothing that was there before is changed; the run loads, and goes on to the same bits."""
    assert not row["changed"], row
    assert not row["stale"], row
    if row["had"]:
        assert row["loads"], row
        assert row["same"], row
        assert row["resumed"] in (0, 2), row["said"]  # 2: there was nothing left to do
    else:
        assert row["resumed"] in (1, 2), row["said"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "command", "every", "calls"),
    [("full", "train", 1, 120), ("full once", "resume", 3, 35), ("full", "bench", 1, 25)],
)
def test_a_full_disk_at_every_write(
    tiny: TinyPlugin, tmp_path: Path, kind: str, command: str, every: int, calls: int
) -> None:
    rows = rows_of(tiny, tmp_path, kind, command, str(every))
    assert len(rows) >= calls
    for row in rows:
        if row["code"] == 0:
            # fsync of a folder: some systems cannot. mkdir of a folder that is there: nothing is written.
            assert row["call"] in ("fsync", "mkdir"), row
        else:
            assert row["code"] == 1, row
            check_message(row)
        if command != "bench":
            check_after(row)
    failed = [row for row in rows if row["code"] == 1]
    assert len(failed) > 0.7 * len(rows)
    if command == "train":
        began = [row for row in rows if row["state"] is not None]
        assert all(row["had"] or row["state"] == "killed" for row in began)
        assert "checkpoints/last-" in "".join(row["text"] for row in rows), "what failed first is named"


@pytest.mark.slow
def test_too_few_file_descriptors_are_one_message(tiny: TinyPlugin, tmp_path: Path) -> None:
    rows = rows_of(tiny, tmp_path, "few")
    codes = [row["code"] for row in rows]
    assert codes[0] == 1
    assert codes[-1] == 0
    for row in rows:
        check_after(row)
        if row["code"]:
            assert row["code"] == 1, row
            assert row["text"].count(ERROR) == 1, row["text"]
            assert "Too many open files" in row["text"]
            assert "bug" not in row["text"], row["text"]
