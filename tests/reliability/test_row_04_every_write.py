"""Row 4 of docs/reliability.md: `kill -9` between any two calls that write, or amid one of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from reliability.test_row_03_every_write import check_after, rows_of
from tiny_plugin import TinyPlugin


@pytest.mark.slow
@pytest.mark.parametrize(("command", "every", "calls"), [("train", 3, 40), ("resume", 5, 20)])
def test_a_kill_at_every_write_leaves_a_run_that_goes_on_to_the_same_bits(
    tiny: TinyPlugin, tmp_path: Path, command: str, every: int, calls: int
) -> None:
    rows = rows_of(tiny, tmp_path, "killed", command, str(every))
    assert len(rows) > calls
    assert {row["code"] for row in rows} == {137}
    for row in rows:
        if not row["had"]:
            row["stale"] = []  # it never began; `train --out` with its folder removes them
        check_after(row)
    assert sum(row["had"] for row in rows) > 0.6 * len(rows)
