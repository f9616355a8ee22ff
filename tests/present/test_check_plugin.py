"""What check-plugin found, to the letter: counts per component, then failures and skips with reasons."""

from __future__ import annotations

from typing import Any

import pytest

from golden_files import check_golden
from nnkit.present.check_plugin import check_plugin_text


def check(component: str, name: str, status: str = "passed", message: str = "") -> dict[str, str]:
    return {
        "group": "poolings" if component != "focal" else "losses",
        "component": component,
        "check": name,
        "status": status,
        "message": message,
    }


def document(*checks: dict[str, str]) -> dict[str, Any]:
    statuses = [found["status"] for found in checks]
    counts = {status: statuses.count(status) for status in ("passed", "failed", "skipped")}
    return {"package": "nnkit-mixed", "version": "1.2", **counts, "checks": list(checks)}


PASSED = [
    check("gem:p=3", "says_what_it_is"),
    check("gem:p=3", "saves_and_loads"),
    check("focal", "gives_a_scalar"),
]
SKIPPED = check("gem:p=3", "leaves_out_what_the_mask_does", "skipped", "its forward takes no mask")
FAILED = check("focal", "survives_spawn", "failed", "it does not pickle (PicklingError:\n\x1b[31ma lambda)")


@pytest.mark.parametrize("width", [80, 40])
def test_failures_and_skips_are_shown_as_agreed(width: int) -> None:
    text = check_plugin_text(document(*PASSED, SKIPPED, FAILED), width=width)
    assert "\x1b" not in text
    check_golden(f"present/check-plugin-{width}.txt", text)


def test_without_failures_and_skips_there_is_the_table_alone() -> None:
    text = check_plugin_text(document(*PASSED))
    assert text.startswith("nnkit-mixed 1.2: no check failed\n")
    assert "failed:" not in text
    assert "skipped:" not in text
