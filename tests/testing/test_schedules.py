"""The checks of schedules find what a run would refuse."""

from __future__ import annotations

import pytest
from torch.optim.lr_scheduler import ReduceLROnPlateau

from nnkit.testing import CHECKS, Subject


def test_a_schedule_that_waits_for_a_metric_is_told_why_it_is_none() -> None:
    with pytest.raises(AssertionError, match="its step needs a metric after each epoch"):
        CHECKS["schedules"]["is_a_schedule"](Subject("schedules", ReduceLROnPlateau))
