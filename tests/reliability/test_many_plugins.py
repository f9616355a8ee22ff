"""Listing with 200 plugins installed stays within twice its time with none, and imports none of them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nnkit import registry
from nnkit.studies.list_ import list_components

NUM_PLUGINS = 200
REPEATS = 5
SLACK_S = 0.5
"""What `nnkit list` takes beside the look for plugins: the start of Python, Typer and pydantic."""


@pytest.fixture
def many(tmp_path: Path) -> Iterator[Path]:
    for number in range(NUM_PLUGINS):
        info = tmp_path / f"fake_{number}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: fake-{number}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[nnkit.models]\nfake-{number} = fake_{number}:Model\n")
        (tmp_path / f"fake_{number}.py").write_text("raise SystemExit('imported')\n")
    yield tmp_path
    registry.refresh()


def fastest_listing() -> float:
    """Seconds, the least of some tries: the rest is what else the machine did."""
    times = []
    for _ in range(REPEATS):
        registry.refresh()
        started = time.perf_counter()
        list_components()
        times.append(time.perf_counter() - started)
    return min(times)


def test_listing_takes_at_most_twice_as_long_and_imports_no_plugin(
    many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = fastest_listing()
    monkeypatch.syspath_prepend(str(many))
    crowded = fastest_listing()
    names = {entry.name for entry in registry.entries()}
    assert {f"fake-{number}" for number in range(NUM_PLUGINS)} <= names
    assert not {f"fake_{number}" for number in range(NUM_PLUGINS)} & set(sys.modules)
    assert crowded + SLACK_S <= 2 * (alone + SLACK_S), (
        f"{crowded:.3f} s with 200 plugins, {alone:.3f} s without"
    )
