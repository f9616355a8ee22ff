"""What check-plugin finds of a real plugin: counts per component, then failures and skips with reasons."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator

import pytest

from fake_plugins import write_plugin
from golden_files import check_golden
from nnkit import registry
from nnkit.present.check_plugin import check_plugin_text
from nnkit.results.check_plugin import CheckPluginResult
from nnkit.studies.check_plugin import check_plugin
from present.reading import read_table, squeezed

ENTRY_POINTS = """
[nnkit.poolings]
flat = nnkit_mixed:Flat
[nnkit.losses]
loud = nnkit_loud:Loud
"""
POOLING = '''
from torch import nn


class Flat(nn.Module):
    """The mean of each channel; it takes no mask."""

    def forward(self, inputs):
        return inputs.mean((2, 3))
'''
LOUD = r'raise ValueError("no \x1b[31mred\x1b[0m\nlines")'


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CheckPluginResult]:
    folder = tmp_path_factory.mktemp("mixed")
    write_plugin(folder, "nnkit-mixed", ENTRY_POINTS, module=POOLING, version="1.2")
    (folder / "nnkit_loud.py").write_text(LOUD)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        registry.refresh()
        yield check_plugin("nnkit-mixed")
    registry.refresh()
    sys.modules.pop("nnkit_mixed", None)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_each_component_has_a_row_with_its_counts(checked: CheckPluginResult, width: int) -> None:
    text = check_plugin_text(checked, width=width)
    rows = read_table(text, "group", "component", "passed", "failed", "skipped")
    counts = Counter((check.group, check.component, check.status) for check in checked.checks)
    assert sorted((row["group"], row["component"]) for row in rows) == [
        ("losses", "loud"), ("poolings", "flat")
    ]  # fmt: skip
    for row in rows:
        for status in ("passed", "failed", "skipped"):
            assert int(row[status]) == counts[row["group"], row["component"], status]
    assert checked.passed > checked.failed > 0
    assert checked.skipped > 0


@pytest.mark.parametrize("width", [40, 120])
def test_failures_come_before_skips_each_with_its_reason_on_one_line(
    checked: CheckPluginResult, width: int
) -> None:
    text = check_plugin_text(checked, width=width)
    assert text.startswith(f"nnkit-mixed 1.2: {checked.failed} of {len(checked.checks)} checks failed\n\n")
    assert all(letter.isprintable() or letter == "\n" for letter in text)
    parts = text.split("\n\n")
    for part, status in zip(parts[-2:], ("failed", "skipped"), strict=True):
        title, *lines = part.splitlines()
        assert title == f"{status}:"
        wanted = [check for check in checked.checks if check.status == status]
        for line, check in zip(lines, wanted, strict=True):
            assert line.startswith(f"- {check.component}: {check.check.replace('_', ' ')}: ")
            message = check.message.replace("\x1b[31m", "").replace("\x1b[0m", "")
            assert squeezed(line).endswith(squeezed(message))
    assert "no red lines" in parts[-2]


def test_without_failures_and_skips_there_is_the_table_alone(checked: CheckPluginResult) -> None:
    passed = [check for check in checked.checks if check.status == "passed"]
    result = checked.model_copy(update={"checks": passed, "failed": 0, "skipped": 0})
    check_golden("present/check-plugin-passed.txt", check_plugin_text(result))
