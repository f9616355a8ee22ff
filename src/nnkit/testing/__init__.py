"""Contract tests for plugin authors: subclass one per component, or run the same checks from a program.

    from nnkit.testing import PoolingContract
    from my_package import Gem

    class TestGem(PoolingContract):
        component = Gem

`nnkit check-plugin PACKAGE` runs the same checks without pytest. Nothing here imports pytest.
"""

from __future__ import annotations

from nnkit.testing.checks import CHECKS, Outcome, run_check
from nnkit.testing.contract import (
    AugmentationContract,
    DatasetContract,
    LossContract,
    MetricContract,
    ModelContract,
    OptimizerContract,
    PoolingContract,
    ScheduleContract,
    StoppingRuleContract,
    TrackerContract,
)
from nnkit.testing.subject import Skipped, Subject

__all__ = [
    "CHECKS",
    "AugmentationContract",
    "DatasetContract",
    "LossContract",
    "MetricContract",
    "ModelContract",
    "OptimizerContract",
    "Outcome",
    "PoolingContract",
    "ScheduleContract",
    "Skipped",
    "StoppingRuleContract",
    "Subject",
    "TrackerContract",
    "run_check",
]
