"""What holds for every built-in stopping rule that watches a metric."""

from __future__ import annotations

import pytest

from nnkit.stopping_rules.half_level import HalfLevel
from nnkit.stopping_rules.patience import Patience
from nnkit.stopping_rules.threshold import Threshold
from nnkit.stopping_rules.window import Window
from nnkit.types import EpochResult, StoppingRule


@pytest.mark.parametrize(
    "rule", [Threshold(below=0.1), HalfLevel(), Patience(), Window()], ids=lambda rule: type(rule).__name__
)
def test_a_metric_that_no_epoch_has_stops_at_once_and_is_named(rule: StoppingRule) -> None:
    reason = rule.update(EpochResult(epoch=1, step=1, metrics={"val_accuracy": 0.5}))
    assert reason is not None
    assert reason.startswith('no metric named "val_')
    assert reason.endswith("there are val_accuracy")
