"""When a checkpoint is due: by steps, or by the time since the last."""

from __future__ import annotations

import pytest

from nnkit.studies.train import saving
from nnkit.studies.train.saving import due_every


def test_by_steps_each_so_many_and_without_a_setting_never() -> None:
    due = due_every("3")
    assert [step for step in range(1, 11) if due(step)] == [3, 6, 9]
    never = due_every(None)
    assert not any(never(step) for step in range(100))


@pytest.mark.parametrize(
    ("every", "seconds"), [("30s", 30.0), ("5min", 300.0), ("1h", 3600.0), ("0.5min", 30.0)]
)
def test_by_time_counted_from_the_last(monkeypatch: pytest.MonkeyPatch, every: str, seconds: float) -> None:
    now = [1000.0]
    monkeypatch.setattr(saving.time, "monotonic", lambda: now[0])
    due = due_every(every)
    for after, expected in ((0.9, False), (0.1, True), (0.5, False), (0.7, True), (0.9, False), (2.0, True)):
        now[0] += after * seconds
        assert due(1) is expected
