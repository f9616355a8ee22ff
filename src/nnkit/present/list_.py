"""The components that are installed, as `nnkit list` prints them."""

from __future__ import annotations

from nnkit.present.layout import WIDTH, joined, key_values, table
from nnkit.results.list_ import ListResult


def list_table(result: ListResult, *, width: int = WIDTH) -> str:
    """Components by group with provider, version and target; below, what is wrong with any of them."""
    rows = [
        [row.group, row.name, row.provider or None, row.version or None, row.target or None]
        for row in result.components
    ]
    errors = [("error", f"{row.group} {row.name}: {row.error}") for row in result.components if row.error]
    heads = ["group", "name", "provider", "version", "target"]
    return joined(table(rows, heads, align="nnlll", width=width), key_values(errors, width=width))
