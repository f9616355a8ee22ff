"""Checks for metrics: numbers over all batches since the last reset."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from nnkit.testing.subject import Subject
from nnkit.testing.worker import call_in_worker
from nnkit.training.metric_components import NamedMetric
from nnkit.types import Metric, Task

NUM_CLASSES = 10
IMAGE = (3, 28, 28)
TASKS: tuple[Task, ...] = ("classification", "transform")
Pair = tuple[Tensor, Tensor]
Values = Mapping[str, float]


def _pair(task: Task, num_images: int, seed: int = 0) -> Pair:
    """Predictions and targets: logits (B, 10) and classes (B,), or images (B, 3, 28, 28) both."""
    generator = torch.Generator().manual_seed(seed)
    if task == "classification":
        logits = 3 * torch.randn(num_images, NUM_CLASSES, generator=generator)
        return logits, torch.randint(NUM_CLASSES, (num_images,), generator=generator)
    target = torch.rand(num_images, *IMAGE, generator=generator)
    return target + 0.1 * torch.randn(target.shape, generator=generator), target


def _made(subject: Subject) -> NamedMetric:
    metric = subject.make()
    missing = [name for name in ("update", "compute", "reset") if not callable(getattr(metric, name, None))]
    assert not missing, f"{type(metric).__name__} has no {' and no '.join(f'{name}()' for name in missing)}"
    return _named(metric)


def _named(metric: Metric) -> NamedMetric:
    return NamedMetric("value", metric, f"the metric {type(metric).__name__}", higher_is_better=True)


def _task(subject: Subject) -> Task:
    """The task that it serves: as its `task` says, else the first whose batches it takes."""
    said = getattr(subject.cls, "task", None)
    if said in TASKS:
        return said  # type: ignore[no-any-return]
    refused = []
    for task in TASKS:
        try:
            _value(_made(subject), [_pair(task, 4)])
        except Exception as error:  # a metric may refuse the other task's batches in any way
            refused.append(f"{task}: {error}")
        else:
            return task
    raise AssertionError("it takes the batches of no task: " + "; ".join(refused))


def _value(metric: NamedMetric, batches: Sequence[Pair]) -> Values:
    """Its numbers over the batches, as an evaluation asks for them."""
    metric.reset()
    with torch.inference_mode():
        for output, target in batches:
            metric.update(output, target)
    return metric.values()


def _assert_same(found: Values, expected: Values, what: str) -> None:
    assert found.keys() == expected.keys(), f"{what}: {sorted(found)} are not {sorted(expected)}"
    for name, value in expected.items():
        same = math.isclose(found[name], value, rel_tol=1e-4, abs_tol=1e-5)
        missing = math.isnan(value) and math.isnan(found[name])
        assert same or missing, f"{what}: {found[name]} is not {value}"


def gives_a_number(subject: Subject) -> None:
    """After one batch or several, `compute` gives a number, a tensor of one, or a dict of these."""
    task = _task(subject)
    for sizes in ([32], [8, 1, 23]):
        _value(_made(subject), [_pair(task, size, seed) for seed, size in enumerate(sizes)])


def adds_up_batches(subject: Subject) -> None:
    """The images of several batches count as those of one batch do."""
    output, target = _pair(_task(subject), 32)
    parts = [(output[at : at + 9], target[at : at + 9]) for at in range(0, 32, 9)]
    whole = _value(_made(subject), [(output, target)])
    _assert_same(_value(_made(subject), parts), whole, "32 images in batches of 9 give another value")


def forgets_at_reset(subject: Subject) -> None:
    """After `reset` it gives what a new one gives."""
    task, metric = _task(subject), _made(subject)
    _, target = _pair(task, 8, seed=1)
    right = 9.0 * torch.eye(NUM_CLASSES)[target] if task == "classification" else target.clone()
    _value(metric, [(right, target)])  # without an error, so that it tells
    pair = _pair(task, 8, seed=2)
    _assert_same(_value(metric, [pair]), _value(_made(subject), [pair]), "after reset() it counts more")


def compute_changes_nothing(subject: Subject) -> None:
    """Asked twice, `compute` gives the same."""
    metric = _made(subject)
    first = _value(metric, [_pair(_task(subject), 8)])
    _assert_same(metric.values(), first, "compute() gives another value the second time")


def says_which_direction_is_better(subject: Subject) -> None:
    """`higher_is_better`, where it is there, is True, False or None."""
    said = getattr(subject.make(), "higher_is_better", None)
    assert said is None or isinstance(said, bool), f"higher_is_better is {said!r}, neither True nor False"


def is_deterministic(subject: Subject) -> None:
    """Two metrics of the same settings give the same for the same batches."""
    pair = _pair(_task(subject), 8)
    one, two = _value(_made(subject), [pair]), _value(_made(subject), [pair])
    _assert_same(one, two, "two metrics give different values")


def survives_spawn(subject: Subject) -> None:
    """It pickles to a worker process."""
    output, target = _pair(_task(subject), 8)
    metric = _made(subject)
    found = call_in_worker(_value_there, metric.metric, output.numpy(), target.numpy())
    _assert_same(found, _value(metric, [(output, target)]), "it gives another value in a worker process")


def _value_there(metric: Metric, output: object, target: object) -> Values:
    return _value(_named(metric), [(torch.as_tensor(output), torch.as_tensor(target))])


def leaves_its_input_alone(subject: Subject) -> None:
    """It writes into neither predictions nor targets."""
    pair = _pair(_task(subject), 8)
    given = [tensor.clone() for tensor in pair]
    _value(_made(subject), [pair])
    assert all(map(torch.equal, pair, given)), "it changes its input in place"
