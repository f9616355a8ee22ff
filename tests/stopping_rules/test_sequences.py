"""At which epochs each rule stops: by hand, by its definition on the whole sequence, and after a resume."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnkit.build import build
from nnkit.types import EpochResult, StoppingRule

NAN, INF = math.nan, math.inf
VALUES = st.lists(st.sampled_from([*(n / 8 for n in range(-8, 9)), NAN, INF, -INF]), max_size=14)
"""Eighths, whose differences are exact, and what is no finite number."""
DELTAS = st.sampled_from([0.125, 0.25, 0.5])


def stops(rule: StoppingRule, metric: str, values: list[float]) -> list[int]:
    """The epochs, counted from 1, after which the rule gives a reason to stop."""
    reasons = (
        rule.update(EpochResult(epoch=n, step=n, metrics={metric: value, "other": 0.0}, seconds=value))
        for n, value in enumerate(values, 1)
    )
    return [n for n, reason in enumerate(reasons, 1) if reason is not None]


@pytest.mark.parametrize(
    ("spec", "metric", "values", "at"),
    [
        # Epochs 5 to 8 are no better than epoch 4. The default: val_loss, 4 epochs, any gain counts.
        ("patience", "val_loss", [4, 3, 2, 1, 1, 2, 1, 1.5, 0.5, 1], [8]),
        ("patience", "val_loss", [1, 1 - 1e-12, 1 - 2e-12, 1 - 3e-12, 1 - 4e-12, 1 - 5e-12], []),
        ("patience:patience=1", "val_loss", [2, 1, 1, 0, 3], [3, 5]),
        ("patience:patience=2,min_delta=0.5", "val_loss", [3, 2.5, 2.25, 2, 1.75, 1.75], [6]),
        ("patience:patience=2,min_delta=0.5", "val_loss", [3, 2.75, 2.625, 2.5, 2.25, 2.125], [3, 6]),
        ("patience:metric=val_accuracy,patience=2", "val_accuracy", [0.5, 0.25, 0.75, 0.75, 0.5], [5]),
        ("patience:metric=val_accuracy,patience=1,min_delta=0.25", "val_accuracy", [0, 0.25, 0.375], [3]),
        ("patience:patience=2", "val_loss", [-1, -2, -INF, NAN, -3], [4]),
        ("patience:patience=2", "val_loss", [NAN, NAN, NAN, 5, 6, 7], [2, 3, 6]),
        ("window:epochs=3,min_delta=0.5", "val_loss", [1, 1, 1.5, 1.25, 1.25, 9, 9, 9], [5, 8]),
        ("window:epochs=2,min_delta=0.5", "val_loss", [2, 1.5, 1, 0.625], [4]),
        ("window:epochs=2,min_delta=0.5", "val_accuracy", [2], [1]),
        # The default: the last ten values within less than 1e-6.
        ("window", "val_loss", [1.5, *[1.0] * 10], [11]),
        ("window", "val_loss", [1.0] * 9, []),
        ("window", "val_loss", [1 + 1.1e-6, *[1.0] * 9, 1 + 0.9e-6], [11]),
        ("window:epochs=2,min_delta=0.5,variant=lag", "val_loss", [3, 2, 2.5, 1.5, 1.5, 1.25], [6]),
        ("window:epochs=1,min_delta=0,variant=lag", "val_loss", [3, 2, 2, 2.5, 2.25], [4]),
        (
            "window:metric=val_accuracy,epochs=2,min_delta=0.5,variant=lag",
            "val_accuracy",
            [0, 0.25, 0.5, 0.5, 0.625, 0.5],
            [4, 5, 6],
        ),
        ("window:epochs=2,min_delta=0.5", "val_loss", [NAN, 1, 1, INF, 1, 1, NAN, NAN, NAN], [3, 6, 8, 9]),
        ("threshold:below=0.5", "val_loss", [1, 0.5, NAN, INF, 0.49, 0.5, -INF], [5, 7]),
        (
            "threshold:metric=val_accuracy,above=0.5",
            "val_accuracy",
            [1, 0.5, NAN, 0.51, INF, -INF],
            [1, 4, 5],
        ),
        ("half-level", "val_mae_sum", [1.5374, 784 * 0.5 / 255, NAN, 1.5372, 1.54, -1], [4, 6]),
        ("half-level:target_channels=3,target_size=[10,17]", "val_mae_sum", [1.001, 1.0, 0.999], [3]),
        ("half-level:target_size=[1,51]", "val_mae_sum", [0.101, 0.099], [2]),
        ("time-limit:minutes=2", "seconds", [60, NAN, 59, -5, 0, 1, 0.0], [6, 7]),
        ("time-limit:minutes=0.5", "seconds", [29.5, 0.5], [2]),
    ],
)
def test_a_rule_stops_after_these_epochs(spec: str, metric: str, values: list[float], at: list[int]) -> None:
    assert stops(build("stopping_rules", spec), metric, values) == at


@settings(max_examples=150, deadline=None)
@given(values=VALUES, patience=st.integers(1, 4), min_delta=DELTAS | st.just(0.0), more=st.booleans())
def test_patience_counts_the_epochs_since_the_last_improvement(
    values: list[float], patience: int, min_delta: float, more: bool
) -> None:
    metric = "val_accuracy" if more else "val_loss"
    expected, last = [], 0
    best: float | None = None
    for n, value in enumerate(values, 1):
        gain = INF if best is None else (value - best if more else best - value)
        if math.isfinite(value) and gain > 0 and gain >= min_delta:
            best, last = value, n
        elif n - last >= patience:
            expected.append(n)
    rule = build("stopping_rules", f"patience:metric={metric},patience={patience},min_delta={min_delta}")
    assert stops(rule, metric, values) == expected


@settings(max_examples=150, deadline=None)
@given(values=VALUES, epochs=st.integers(2, 4), min_delta=DELTAS, lag=st.booleans(), more=st.booleans())
def test_a_window_looks_at_its_last_epochs_alone(
    values: list[float], epochs: int, min_delta: float, lag: bool, more: bool
) -> None:
    metric = "val_accuracy" if more else "val_loss"
    expected = []
    for n in range(epochs + lag, len(values) + 1):
        seen = values[n - epochs - lag : n]
        finite = [value for value in seen if math.isfinite(value)]
        if lag:
            moved = max(seen[1:]) - seen[0] if more else seen[0] - min(seen[1:])
        else:
            moved = max(seen) - min(seen)
        if not finite or (len(finite) == len(seen) and moved < min_delta):
            expected.append(n)
    variant = "lag" if lag else "range"
    spec = f"window:metric={metric},epochs={epochs},min_delta={min_delta},variant={variant}"
    assert stops(build("stopping_rules", spec), metric, values) == expected


SPECS = {
    "patience:patience=2,min_delta=0.25": "val_loss",
    "window:epochs=3,min_delta=0.25": "val_loss",
    "window:epochs=2,min_delta=0.25,variant=lag": "val_loss",
    "threshold:below=0": "val_loss",
    "half-level:target_size=[1,51]": "val_mae_sum",
    "time-limit:minutes=0.02": "seconds",
}


@pytest.mark.parametrize("spec", SPECS)
@settings(max_examples=40, deadline=None)
@given(values=VALUES, data=st.data())
def test_a_rule_that_goes_on_from_its_state_stops_as_one_that_never_paused(
    spec: str, values: list[float], data: st.DataObject
) -> None:
    metric, whole = SPECS[spec], build("stopping_rules", spec)
    if metric == "seconds":  # an epoch may fail to be timed, but takes no infinite time
        values = [NAN if math.isinf(value) else value for value in values]
    pause = data.draw(st.integers(0, len(values)))
    before, after = build("stopping_rules", spec), build("stopping_rules", spec)
    first = stops(before, metric, values[:pause])
    # Strict JSON, as a checkpoint keeps it: no NaN.
    after.load_state_dict(json.loads(json.dumps(before.state_dict(), allow_nan=False)))
    then = [pause + n for n in stops(after, metric, values[pause:])]
    assert first + then == stops(whole, metric, values)
    assert after.state_dict() == whole.state_dict()


@pytest.mark.parametrize(
    ("spec", "metric", "values", "reason"),
    [
        ("patience:patience=1", "val_loss", [0.25, 0.5],
         "val_loss has not improved for 1 epoch: best 0.25, now 0.5"),
        ("patience:patience=2", "val_loss", [NAN, 0.25, 1, 2],
         "val_loss has not improved for 2 epochs: best 0.25, now 2"),
        ("patience:patience=1", "val_loss", [NAN],
         "val_loss has not improved for 1 epoch: best no finite value yet, now nan"),
        ("window:epochs=3,min_delta=0.5", "val_loss", [1, 1.25, 1],
         "val_loss: range 0.25 within 3 epochs, less than 0.5"),
        ("window:epochs=3,min_delta=0.5,variant=lag", "val_loss", [2, 1.75, 2, 3],
         "val_loss: improvement 0.25 within 3 epochs, less than 0.5"),
        ("window:epochs=3", "val_loss", [NAN, INF, NAN],
         "val_loss has not been a finite number for 3 epochs"),
        ("threshold:below=0.5", "val_loss", [0.25], "val_loss is 0.25, below 0.5"),
        ("threshold:metric=val_accuracy,above=0.5", "val_accuracy", [0.75],
         "val_accuracy is 0.75, above 0.5"),
        ("half-level", "val_mae_sum", [1.53],
         "val_mae_sum is 1.53, below 1.537: half an 8-bit value for each of 784 values"),
        ("time-limit:minutes=1", "seconds", [30, 34], "1.07 minutes have passed, of at most 1"),
    ],
)  # fmt: skip
def test_the_reason_gives_the_values_that_decided(
    spec: str, metric: str, values: list[float], reason: str
) -> None:
    rule: StoppingRule = build("stopping_rules", spec)
    assert stops(rule, metric, values[:-1]) == []
    last = EpochResult(epoch=9, step=9, metrics={metric: values[-1]}, seconds=values[-1])
    assert rule.update(last) == reason
