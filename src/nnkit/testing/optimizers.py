"""Checks for optimizers: torch's protocol, a loss that falls, and a state that a checkpoint can hold."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from nnkit.errors import CheckpointError
from nnkit.runs.plain_state import pack, unpack
from nnkit.testing.subject import Subject
from nnkit.training.stepping import needs_closure

NUM_STEPS, NUM_MORE_STEPS = 12, 6


class Problem:
    """Least squares: a linear layer that is to find another one's weights. The same each time."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.inputs = torch.randn(32, 5, generator=generator)
        self.targets = self.inputs @ torch.randn(5, 3, generator=generator) + 1
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.net = nn.Linear(5, 3)

    def loss(self) -> Tensor:
        """The mean squared error."""
        return nn.functional.mse_loss(self.net(self.inputs), self.targets)

    def train(self, optimizer: Optimizer, num_steps: int) -> None:
        """Step as nnkit does, each time with the same batch."""

        def closure() -> Tensor:
            optimizer.zero_grad(set_to_none=True)
            value = self.loss()
            value.backward()  # type: ignore[no-untyped-call]
            return value

        for _ in range(num_steps):
            if needs_closure(type(optimizer)):
                optimizer.step(closure)  # type: ignore[arg-type]
            else:
                closure()
                optimizer.step()


def _made(subject: Subject, params: list[nn.Parameter]) -> Optimizer:
    made = subject.make(params)
    assert isinstance(made, Optimizer), f"it is a {type(made).__name__}, not a torch.optim.Optimizer"
    return made


def _trained(subject: Subject, act: Callable[[Problem, Optimizer], None]) -> dict[str, Tensor]:
    problem = Problem()
    act(problem, _made(subject, list(problem.net.parameters())))
    return {name: tensor.clone() for name, tensor in problem.net.state_dict().items()}


def is_an_optimizer_of_its_parameters(subject: Subject) -> None:
    """It is a `torch.optim.Optimizer`, made with a list of parameters, of all of which it takes care."""
    params = list(Problem().net.parameters())
    held = [id(parameter) for group in _made(subject, params).param_groups for parameter in group["params"]]
    assert sorted(held) == sorted(map(id, params)), "its param_groups do not hold each parameter once"


def lowers_the_loss(subject: Subject) -> None:
    """Some steps on a small least-squares problem leave finite weights and a smaller loss."""
    problem = Problem()
    before = float(problem.loss().detach())
    problem.train(_made(subject, list(problem.net.parameters())), NUM_STEPS)
    after = float(problem.loss().detach())
    assert after < before, f"{NUM_STEPS} steps take the loss of a small problem from {before:g} to {after:g}"


def leaves_alone_what_has_no_gradient(subject: Subject) -> None:
    """A parameter that the loss does not depend on is stepped over."""
    problem, unused = Problem(), nn.Parameter(torch.ones(3, 2))
    problem.train(_made(subject, [*problem.net.parameters(), unused]), 3)
    assert torch.equal(unused, torch.ones(3, 2)), "it moves a parameter that has no gradient"


def goes_on_from_its_saved_state(subject: Subject) -> None:
    """Its state fits a checkpoint; a new one with that state goes on to the bit as if never interrupted."""
    expected = _trained(subject, lambda problem, made: problem.train(made, NUM_STEPS + NUM_MORE_STEPS))

    def broken_off(problem: Problem, made: Optimizer) -> None:
        problem.train(made, NUM_STEPS)
        try:
            saved = unpack(*pack(made.state_dict(), "state_dict()"))
        except CheckpointError as error:
            raise AssertionError(f"{error.message}; {error.hint}") from error
        after = _made(subject, list(problem.net.parameters()))
        after.load_state_dict(saved)
        problem.train(after, NUM_MORE_STEPS)

    for name, tensor in _trained(subject, broken_off).items():
        assert torch.equal(tensor, expected[name]), (
            "saved and restored it goes another way: keep all that it remembers in self.state and in "
            "self.param_groups"
        )


def is_deterministic(subject: Subject) -> None:
    """Two of the same settings take the same way."""
    ways = [_trained(subject, lambda problem, made: problem.train(made, NUM_STEPS)) for _ in range(2)]
    assert all(torch.equal(ways[0][name], ways[1][name]) for name in ways[0]), (
        "two of them take different ways: draw from torch's generator, and from no other"
    )
