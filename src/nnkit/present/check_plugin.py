"""What `nnkit check-plugin` found, as text: a row per component, then failures and skips with reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from nnkit.present.layout import WIDTH, table
from nnkit.present.text import clean

_STATUSES = ("passed", "failed", "skipped")


def check_plugin_text(document: Mapping[str, Any], *, width: int = WIDTH) -> str:
    """Counts by component, then what failed and what was skipped, one line each."""
    checks = document["checks"]
    counts: dict[tuple[str, str], Counter[str]] = {}
    for check in checks:
        counts.setdefault((check["group"], check["component"]), Counter())[check["status"]] += 1
    rows = [[*key, *(found[status] for status in _STATUSES)] for key, found in counts.items()]
    parts = [
        f"{document['package']} {document['version']}: {_verdict(document)}",
        table(rows, ["group", "component", *_STATUSES], align="nnrrr", width=width),
    ]
    for status in ("failed", "skipped"):
        lines = [_line(check) for check in checks if check["status"] == status]
        if lines:
            parts.append(f"{status}:\n" + "\n".join(lines))
    return "\n\n".join(parts)


def _verdict(document: Mapping[str, Any]) -> str:
    failed = document["failed"]
    return f"{failed} of {len(document['checks'])} checks failed" if failed else "no check failed"


def _line(check: Mapping[str, Any]) -> str:
    words = check["check"].replace("_", " ")
    return f"- {clean(check['component'])}: {words}: {clean(check['message'])}"
