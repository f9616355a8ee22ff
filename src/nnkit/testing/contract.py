"""Classes for plugin authors to subclass under pytest: one test per check of the kind.

Each takes `component`, the class under test, and where defaults do not do, `settings` (as in a spec).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from nnkit.testing.checks import CHECKS, Check
from nnkit.testing.subject import Subject

C = TypeVar("C", bound="type[_Contract]")


class _Contract:
    """What all contract classes share. `group` is the entry-point group without "nnkit."."""

    group: ClassVar[str]
    component: ClassVar[type[Any]]
    settings: ClassVar[Mapping[str, Any]] = {}
    known: ClassVar[Mapping[str, Any] | None] = None

    def subject(self) -> Subject:
        """The component as the checks take it."""
        return Subject(self.group, self.component, self.settings, self.known, claims=self.claims())

    def claims(self) -> Mapping[str, Any]:
        """What is said of the component here rather than on its class."""
        return {}


def _tests_of(group: str) -> Callable[[C], C]:
    """Give a contract class its group and a test method per check of it."""

    def decorate(contract: C) -> C:
        contract.group = group
        for name, check in CHECKS[group].items():
            setattr(contract, f"test_{name}", _test(check))
        return contract

    return decorate


def _test(check: Check) -> Callable[[_Contract], None]:
    def test(self: _Contract) -> None:
        check(self.subject())

    test.__doc__ = check.__doc__
    return test


@_tests_of("models")
class ModelContract(_Contract):
    """Tests of a model. `known` replaces what a dataset would fill in: `{"in_channels": 3, ...}`.

    `exports_to_onnx = True`, here or on the model's class, adds the export to ONNX.
    """

    exports_to_onnx: ClassVar[bool | None] = None

    def claims(self) -> Mapping[str, Any]:
        """The claim of an export, where it is made here."""
        return {} if self.exports_to_onnx is None else {"exports_to_onnx": self.exports_to_onnx}


@_tests_of("poolings")
class PoolingContract(_Contract):
    """Tests of a pooling: features as `num_features(C)` says, finite gradients also where all is zero."""


@_tests_of("losses")
class LossContract(_Contract):
    """Tests of a loss, on the batches of each task that it takes (or of its `task`)."""


@_tests_of("stopping_rules")
class StoppingRuleContract(_Contract):
    """Tests of a stopping rule. `stops_on_nan`, here or on its class, says whether NaN alone ends the run."""

    stops_on_nan: ClassVar[bool | None] = None

    def claims(self) -> Mapping[str, Any]:
        """The claim about NaN, where it is made here."""
        return {} if self.stops_on_nan is None else {"stops_on_nan": self.stops_on_nan}


@_tests_of("optimizers")
class OptimizerContract(_Contract):
    """Tests of an optimizer, on a small problem of least squares."""


@_tests_of("schedules")
class ScheduleContract(_Contract):
    """Tests of a schedule, over a run of six epochs of five steps."""


@_tests_of("trackers")
class TrackerContract(_Contract):
    """Tests of a tracker, which is given a run of two epochs."""


@_tests_of("augmentations")
class AugmentationContract(_Contract):
    """Tests of an augmentation, on batches of one channel and of three, padded and not."""


@_tests_of("metrics")
class MetricContract(_Contract):
    """Tests of a metric, on the batches of the task that it takes (or of its `task`)."""


@_tests_of("datasets")
class DatasetContract(_Contract):
    """Tests of a dataset. One that reads files overrides `make_files` to write a few of them."""

    def make_files(self, root: Path) -> None:
        """Write a few files, as the dataset reads them, into the data root `root`."""

    def subject(self) -> Subject:
        """The dataset, with files of its kind."""
        return Subject(self.group, self.component, self.settings, self.known, make_files=self.make_files)
