from __future__ import annotations

import pytest

from nnkit.errors import UsageError
from nnkit.stopping_rules._metric import check_min_delta, no_such_metric
from nnkit.types import EpochResult


def test_the_reason_lists_the_metrics_that_there_are() -> None:
    epoch = EpochResult(epoch=1, step=1, metrics={"val_loss": 1.0, "train_loss": 2.0})
    assert no_such_metric("x", epoch) == 'no metric named "x"; there are train_loss, val_loss'
    assert no_such_metric("x", EpochResult(epoch=1, step=1, metrics={})).endswith("there are none")


@pytest.mark.parametrize("min_delta", [-1e-9, float("nan"), float("inf")])
def test_min_delta_is_zero_or_a_positive_number(min_delta: float) -> None:
    check_min_delta(0)
    with pytest.raises(UsageError, match="min_delta"):
        check_min_delta(min_delta)
