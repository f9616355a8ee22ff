"""Checks for losses: (output, target) to a scalar."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import torch
from torch import Tensor

from nnkit.testing import common
from nnkit.testing.subject import Subject, assert_close, assert_finite
from nnkit.types import Task

NUM_CLASSES = 10
IMAGE = (3, 28, 28)
TASKS: tuple[Task, ...] = ("classification", "transform")


def _pair(task: Task, num_images: int, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """An output and a target: logits (B, 10) and classes (B,), or images (B, 3, 28, 28) both."""
    generator = torch.Generator().manual_seed(num_images)
    if task == "classification":
        logits = scale * torch.randn(num_images, NUM_CLASSES, generator=generator)
        return logits, torch.randint(NUM_CLASSES, (num_images,), generator=generator)
    output = scale * torch.randn(num_images, *IMAGE, generator=generator)
    return output, torch.rand(num_images, *IMAGE, generator=generator)


def _tasks(subject: Subject) -> list[Task]:
    """The tasks that it serves: as its `task` says, else those whose batches it takes."""
    said = subject.says("task")
    if said is not None:
        assert said in TASKS, f"its task is {said!r}, not one of {', '.join(TASKS)}"
        return [said]
    loss, taken, refused = common.made_with(subject), [], []
    for task in TASKS:
        try:
            with warnings.catch_warnings(action="ignore"):
                loss(*_pair(task, 5))
        except Exception as error:  # a loss may refuse the other task's batches in any way
            refused.append(f"{task}: {type(error).__name__}: {error}")
        else:
            taken.append(task)
    assert taken, "it takes the batches of no task: " + "; ".join(refused)
    return taken


def _pairs(subject: Subject, num_images: int) -> Iterator[tuple[str, Tensor, Tensor]]:
    for task in _tasks(subject):
        yield (task, *_pair(task, num_images))


def gives_a_scalar(subject: Subject) -> None:
    """One image and several give a tensor of shape ()."""
    loss = common.made_with(subject)
    for num_images in (1, 5):
        for task, output, target in _pairs(subject, num_images):
            shape = tuple(loss(output, target).shape)
            assert shape == (), f"a batch of {num_images} ({task}) gives the shape {shape}, not a scalar"


def forward_and_backward_are_finite(subject: Subject) -> None:
    """Also for outputs a hundred times as large; some gradient reaches the output."""
    for scale in (1.0, 100.0):
        for num_images in (1, 5):
            for task in _tasks(subject):
                output, target = _pair(task, num_images, scale)
                output.requires_grad_()
                value = common.made_with(subject)(output, target)
                what = f"a batch of {num_images} ({task}) with outputs around ±{scale:g}"
                assert_finite(value, f"the loss of {what}")
                value.backward()
                assert output.grad is not None, f"no gradient reaches the output for {what}"
                assert_finite(output.grad, f"the gradient for {what}")
                assert scale > 1 or bool((output.grad != 0).any()), f"the gradient is zero for {what}"


def is_the_sum_or_the_mean_that_it_says(subject: Subject) -> None:
    """A batch given twice over costs twice as much where `reduction` is "sum", else the same."""
    loss = common.made_with(subject).eval()
    times = 2 if getattr(loss, "reduction", "mean") == "sum" else 1
    word = "sum" if times == 2 else "mean"
    with torch.no_grad():
        for task, output, target in _pairs(subject, 5):
            doubled = loss(torch.cat([output, output]), torch.cat([target, target]))
            assert_close(
                doubled / times,
                loss(output, target),
                f'it is not the {word} over a batch ({task}); say reduction = "sum" or take the mean',
            )


def is_deterministic_by_seed(subject: Subject) -> None:
    """One seed, one loss, one value."""
    for _, output, target in _pairs(subject, 3):
        common.check_same_seed(subject, output, target)


def saves_and_loads(subject: Subject) -> None:
    """Its state dict is all of it."""
    for _, output, target in _pairs(subject, 3):
        common.check_save_and_load(subject, output, target)


def survives_spawn(subject: Subject) -> None:
    """It pickles to a worker process."""
    for _, output, target in _pairs(subject, 3):
        common.check_spawn(subject, output, target)


def leaves_its_input_alone(subject: Subject) -> None:
    """It writes into neither output nor target."""
    for _, output, target in _pairs(subject, 3):
        common.check_inputs_unchanged(subject, output, target)
