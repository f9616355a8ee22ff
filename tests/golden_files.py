"""Outputs pinned to the letter: a file in tests/golden per output, rewritten with NNKIT_REFRESH_GOLDEN=1."""

from __future__ import annotations

import os
import re
from pathlib import Path

GOLDEN = Path(__file__).parent / "golden"


def check_golden(name: str, text: str) -> None:
    """Hold `text` against tests/golden/`name`, which NNKIT_REFRESH_GOLDEN=1 writes anew."""
    path = GOLDEN / name
    if os.environ.get("NNKIT_REFRESH_GOLDEN") == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8", newline="\n")
    assert path.is_file(), f"{path} is missing: run once with NNKIT_REFRESH_GOLDEN=1 and read what it wrote"
    assert text + "\n" == path.read_text(encoding="utf-8"), (
        f"differs from {path}; NNKIT_REFRESH_GOLDEN=1 rewrites"
    )


def check_layout(name: str, text: str) -> None:
    """As `check_golden`, with every digit as 0: what a computed table looks like, whatever was computed."""
    check_golden(name, re.sub(r"\d", "0", text))
