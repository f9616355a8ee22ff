"""What holds for every built-in stopping rule."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from nnkit.stopping_rules.half_level import HalfLevel
from nnkit.stopping_rules.patience import Patience
from nnkit.stopping_rules.threshold import Threshold
from nnkit.stopping_rules.time_limit import TimeLimit
from nnkit.stopping_rules.window import Window
from nnkit.types import EpochResult, StoppingRule

NAN, INF = float("nan"), float("inf")

OF_METRIC: dict[str, Callable[[], StoppingRule]] = {
    "threshold": lambda: Threshold(below=0.1),
    "half-level": HalfLevel,
    "patience": lambda: Patience(patience=3),
    "window-range": lambda: Window(epochs=3, min_delta=0.01),
    "window-lag": lambda: Window(epochs=3, min_delta=0.01, variant="lag"),
}
RULES = OF_METRIC | {"time-limit": lambda: TimeLimit(minutes=0.1)}

LOSSES = [NAN, 0.9, INF, 0.5, 0.6, NAN, 0.4, 0.41, 0.405, 0.408, -INF, 0.404, 0.404, 0.404, 0.404, 0.05]


def epoch_of(number: int, loss: float) -> EpochResult:
    metrics = {"val_loss": loss, "val_mae_sum": 10 * loss}
    return EpochResult(epoch=number, step=10 * number, metrics=metrics, seconds=0.5)


@pytest.mark.parametrize("name", RULES)
def test_it_answers_a_reason_or_none_whatever_the_values(name: str) -> None:
    rule = RULES[name]()
    answers = [rule.update(epoch_of(number, loss)) for number, loss in enumerate(LOSSES, 1)]
    assert any(answers)
    assert all(answer is None or isinstance(answer, str) for answer in answers)


@pytest.mark.parametrize("cut", range(len(LOSSES)))
@pytest.mark.parametrize("name", RULES)
def test_a_resumed_rule_answers_as_one_that_was_never_interrupted(name: str, cut: int) -> None:
    epochs = [epoch_of(number, loss) for number, loss in enumerate(LOSSES, 1)]
    whole, before, after = RULES[name](), RULES[name](), RULES[name]()
    expected = [whole.update(epoch) for epoch in epochs]
    answers = [before.update(epoch) for epoch in epochs[:cut]]
    after.load_state_dict(json.loads(json.dumps(before.state_dict(), allow_nan=False)))
    assert answers + [after.update(epoch) for epoch in epochs[cut:]] == expected


@pytest.mark.parametrize("name", OF_METRIC)
def test_a_metric_that_no_epoch_has_stops_at_once_and_is_named(name: str) -> None:
    reason = OF_METRIC[name]().update(EpochResult(epoch=1, step=1, metrics={"val_accuracy": 0.5}))
    assert reason is not None
    assert reason.startswith('no metric named "val_')
    assert reason.endswith("there are val_accuracy")
