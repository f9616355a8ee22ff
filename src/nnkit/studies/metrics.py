"""The metrics of a split as typed results."""

from __future__ import annotations

from collections.abc import Mapping

from nnkit.results.metrics import Classification, SplitMetrics, Transform
from nnkit.training.metrics import Metrics


def split_metrics(metrics: Metrics) -> SplitMetrics:
    """The metrics over all that was added."""
    return as_split_metrics(metrics.result())


def as_split_metrics(values: Mapping[str, object]) -> SplitMetrics:
    """Metrics by name, as `nnkit evaluate` names them."""
    kind = Classification if "accuracy" in values else Transform
    return kind.model_validate(values)
