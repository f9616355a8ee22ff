"""Metrics that are components: made for a dataset, tried before the run, and read as numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from nnkit import registry
from nnkit.build import PassedObject, ValidatedSpec, plan
from nnkit.errors import ConfigError, Mistake, NnkitError, PluginError, UsageError, quote
from nnkit.options import MEASURED_ANYWAY
from nnkit.spec import ObjectSpec, Spec
from nnkit.training import random_state
from nnkit.training.memory import is_out_of_memory
from nnkit.types import Data, Metric

DEFAULTS: Mapping[str, Mapping[str, Spec]] = {
    "classification": {"macro_f1": Spec("nnkit/f1")},
    "transform": {},
}
"""The components that every result of a task has, by key, beside the metrics that are not components."""

NUM_TRIED = 32
"""Images of a split that a metric is tried with: more than one, as statistics need."""


@dataclass(frozen=True)
class NamedMetric:
    """A metric and the key that records have for it; `keys` are those of its values, as it was tried.

    `title` names it and who provides it in messages.
    """

    key: str
    metric: Metric
    title: str
    higher_is_better: bool
    passed: bool = False
    keys: tuple[str, ...] = ()

    @classmethod
    def made(cls, key: str, spec: Spec, planned: ValidatedSpec, device: torch.device) -> NamedMetric:
        """The metric of a spec, on `device` where it is a module."""
        metric = planned.make()
        if isinstance(metric, nn.Module):
            metric = metric.to(device)
        entry, passed = planned.component.entry, isinstance(planned, PassedObject)
        title = f'the metric "{spec}"' + ("" if passed else f" of {entry.provider} {entry.version}")
        higher = getattr(metric, "higher_is_better", None) is not False  # None in torchmetrics: not said
        return cls(key, metric, title, higher, passed)

    def reset(self) -> None:
        """Forget all batches."""
        self._call(self.metric.reset)

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add a batch."""
        self._call(self.metric.update, output, target)

    def values(self) -> dict[str, float]:
        """Its value under its key; of a dict, each under its key, an underscore and its name."""
        found = self._call(self.metric.compute)
        if isinstance(found, Mapping):
            return {f"{self.key}_{name}": self._number(value) for name, value in found.items()}
        return {self.key: self._number(found)}

    def _call(self, method: Callable[..., Any], *args: Tensor) -> Any:
        try:
            return method(*args)
        except NnkitError:
            raise
        except Exception as error:  # a component may raise anything
            if is_out_of_memory(error):
                raise
            cause = f"{type(error).__name__}: {error}".splitlines()[0]
            raise self._error(f"broke in {getattr(method, '__name__', 'it')}(): {cause}") from error

    def _number(self, value: object) -> float:
        if isinstance(value, Tensor) and value.numel() == 1 and not value.is_complex():
            return float(value)
        if isinstance(value, Real):
            return float(value)
        what = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else quote(value)
        raise self._error(f"gives no number: compute() gave {what}, expected a number or a dict of numbers")

    def _error(self, what: str) -> NnkitError:
        kind = UsageError if self.passed else PluginError
        return kind(f"{self.title} {what}", hint="leave it out of --metric; --debug shows the traceback")


def make_components(specs: Iterable[Spec], data: Data, device: torch.device) -> tuple[NamedMetric, ...]:
    """The metrics of every result of the task, and those of `specs`, tried with targets of the data.

    Those of `MEASURED_ANYWAY` are checked alone: they would give a value that results have.
    `ConfigError` or `UsageError` for one that is for another task, whose settings do not fit, or that gives
    what another gives; what a metric itself does wrong is an error that names it.
    """
    usual = [("metric", key, spec) for key, spec in DEFAULTS[data.task].items()]
    named = [(f"metric[{at}]", spec.key, spec) for at, spec in enumerate(specs)]
    known = data.known_settings() | ({"task": "multiclass"} if data.task == "classification" else {})
    made: list[NamedMetric] = []
    for path, key, spec in (*usual, *named):
        _check_task(spec, data, path)
        planned = plan("metrics", spec, known=known, path=path)
        if spec.name in MEASURED_ANYWAY and key not in DEFAULTS[data.task]:
            continue
        metric = NamedMetric.made(key, spec, planned, device)
        with random_state.kept(device):
            made.append(replace(metric, keys=tuple(_tried(metric, data, device))))
    counts = Counter(key for metric in made for key in metric.keys)
    if twice := next((key for key, count in counts.items() if count > 1), None):
        raise UsageError(f'metric: two metrics give "{twice}"', hint="leave one of them out")
    return tuple(made)


def _check_task(spec: Spec, data: Data, path: str) -> None:
    if isinstance(spec, ObjectSpec):
        task = getattr(spec.value, "task", None)
    else:
        task = getattr(registry.load(registry.find("metrics", spec.name)).cls, "task", None)
    if task in ("classification", "transform") and task != data.task:
        why = f'"{spec}" is a metric of {task}, and this dataset is for {data.task}'
        raise ConfigError([Mistake(path, why, "leave it out, or name another")])


def _tried(metric: NamedMetric, data: Data, device: torch.device) -> dict[str, float]:
    """What it gives for targets of a split and random predictions: found wrong now, not after an epoch."""
    split = max(data.splits.values(), key=len).sample(NUM_TRIED)
    target = split.targets[torch.from_numpy(split.indices).to(split.targets.device)].to(device)
    generator = torch.Generator().manual_seed(0)
    if data.task == "classification":
        output = torch.randn(len(target), len(data.class_names), generator=generator).to(device)
    else:
        output = target + 0.1 * torch.randn(target.shape, generator=generator).to(device)
    metric.reset()
    with torch.inference_mode():
        metric.update(output, target)
    found = metric.values()
    metric.reset()
    return found
