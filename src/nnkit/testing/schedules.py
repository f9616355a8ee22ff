"""Checks for schedules: torch's protocol, rates that training can use, a state that a checkpoint can hold."""

from __future__ import annotations

import math
import warnings

import torch
from torch import nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from nnkit.errors import CheckpointError
from nnkit.runs.plain_state import pack, unpack
from nnkit.testing.subject import Subject
from nnkit.training.stepping import filled_in, rate_of, why_not_per_step

RATE, NUM_STEPS = 0.1, 30


def _optimizer() -> Optimizer:
    return SGD([nn.Parameter(torch.ones(2))], lr=RATE, momentum=0.9)


def _made(subject: Subject, optimizer: Optimizer) -> LRScheduler:
    why = why_not_per_step(subject.cls)
    assert why is None, f"it cannot be a schedule: {why}"
    made = subject.make(optimizer, offered=filled_in(optimizer, num_steps=NUM_STEPS))
    assert isinstance(made, LRScheduler), (
        f"it is a {type(made).__name__}, not a torch.optim.lr_scheduler.LRScheduler"
    )
    return made


def _rates(subject: Subject, *, cut: int | None = None) -> list[float]:
    """The rate of each step of a run; with `cut`, of one that is saved and restored after so many steps."""
    optimizer = _optimizer()
    schedule = _made(subject, optimizer)
    rates: list[float] = []
    for step in range(NUM_STEPS):
        if step == cut:
            optimizer, schedule = _restored(subject, optimizer, schedule)
        rates.append(rate_of(optimizer))
        optimizer.step()
        schedule.step()
    return rates


def _restored(subject: Subject, optimizer: Optimizer, schedule: LRScheduler) -> tuple[Optimizer, LRScheduler]:
    try:
        saved = unpack(*pack([optimizer.state_dict(), schedule.state_dict()], "state_dict()"))
    except CheckpointError as error:
        raise AssertionError(f"{error.message}; {error.hint}") from error
    again = _optimizer()
    made = _made(subject, again)
    again.load_state_dict(saved[0])
    made.load_state_dict(saved[1])
    return again, made


def is_a_schedule(subject: Subject) -> None:
    """It is a torch `LRScheduler`, made with an optimizer and what a run fills in; no step needs a metric."""
    _made(subject, _optimizer())


def gives_rates_that_training_can_use(subject: Subject) -> None:
    """Over a run of 30 steps every learning rate is finite and not negative."""
    for number, rate in enumerate(_rates(subject), 1):
        assert math.isfinite(rate), f"the learning rate of step {number} is {rate}"
        assert rate >= 0, f"the learning rate of step {number} is {rate:g}, below 0"


def goes_on_from_its_saved_state(subject: Subject) -> None:
    """Its state fits a checkpoint; restored after any step, it gives the same rates to the bit."""
    expected = _rates(subject)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, of a schedule that is stepped before the new optimizer
        for cut in range(1, NUM_STEPS):
            assert _rates(subject, cut=cut) == expected, (
                f"saved and restored after {cut} steps it gives other rates: keep all that it remembers in "
                "attributes"
            )


def is_deterministic(subject: Subject) -> None:
    """Two of the same settings give the same rates."""
    assert _rates(subject) == _rates(subject), "two of them give different rates"
