"""What `nnkit check-plugin` found, as text: a row per component, then failures and skips with reasons."""

from __future__ import annotations

from collections import Counter

from nnkit.present.layout import WIDTH, table
from nnkit.present.text import clean
from nnkit.results.check_plugin import CheckPluginResult, CheckResult

_STATUSES = ("passed", "failed", "skipped")


def check_plugin_text(result: CheckPluginResult, *, width: int = WIDTH) -> str:
    """Counts by component, then what failed and what was skipped, one line each."""
    checks = result.checks
    counts: dict[tuple[str, str], Counter[str]] = {}
    for check in checks:
        counts.setdefault((check.group, check.component), Counter())[check.status] += 1
    rows = [[*key, *(found[status] for status in _STATUSES)] for key, found in counts.items()]
    parts = [
        f"{result.package} {result.version}: {_verdict(result)}",
        table(rows, ["group", "component", *_STATUSES], align="nnrrr", width=width),
    ]
    for status in ("failed", "skipped"):
        lines = [_line(check) for check in checks if check.status == status]
        if lines:
            parts.append(f"{status}:\n" + "\n".join(lines))
    return "\n\n".join(parts)


def _verdict(result: CheckPluginResult) -> str:
    failed = result.failed
    return f"{failed} of {len(result.checks)} checks failed" if failed else "no check failed"


def _line(check: CheckResult) -> str:
    words = check.check.replace("_", " ")
    return f"- {clean(check['component'])}: {words}: {clean(check['message'])}"
