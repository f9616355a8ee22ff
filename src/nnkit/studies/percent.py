"""Shares as text: "5%" or "0.05"."""

from __future__ import annotations

import re

from nnkit.errors import UsageError, quote


def read_share(text: str, option: str) -> float:
    """ "1%" or "0.01" as a share of at least 0. A plain number of 1 or more is refused: percent was meant.

    `UsageError` names the `option`, such as "--tolerance".
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(%?)\s*", text)
    share = float(found[1]) / (100 if found[2] else 1) if found else -1.0
    if found is None or (share >= 1 and not found[2]):
        raise UsageError(f"{option} {quote(text)} is no share", hint=f"write {option} 1% or 0.01")
    return share
