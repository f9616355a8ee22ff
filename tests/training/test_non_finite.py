"""What is not finite stops a run at the step that made it, whatever it is: a loss, an output, a buffer."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nnkit.data.images import Images
from nnkit.data.loaders import EvalLoader, TrainLoader
from nnkit.data.splits import classification_data
from nnkit.errors import DivergedError
from nnkit.training.loop import Recipe, TrainState, fit

CPU = torch.device("cpu")
PIXELS = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (40, 1, 4, 4), dtype=np.uint8))
SPLITS = {"train": np.arange(32), "val": np.arange(32, 36), "test": np.arange(36, 40)}
DATA = classification_data(Images.from_tensor(PIXELS), torch.arange(40) % 3, SPLITS, ("a", "b", "c"))


class Spoiled(nn.Module):
    """A linear model with a batch norm that something happens to at the third training forward."""

    def __init__(self, spoil: Callable[[Spoiled, Tensor], Tensor]) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(16)
        self.linear = nn.Linear(16, 3)
        self.spoil = spoil
        self.calls = 0

    def forward(self, inputs: Tensor) -> Tensor:
        out: Tensor = self.linear(self.norm(inputs.flatten(1)))
        if self.training:
            self.calls += 1
            if self.calls == 3:
                out = self.spoil(self, out)
        return out


def buffer(model: Spoiled, out: Tensor) -> Tensor:
    model.norm.running_var = torch.full((16,), math.inf)
    return out


def output(model: Spoiled, out: Tensor) -> Tensor:
    """The loss stays finite: a class without a target has a logit of minus infinity."""
    return torch.cat([out[:, :2], out[:, 2:] * 0 - math.inf], dim=1)


class OnTwo(nn.Module):
    """Cross-entropy on the first two classes."""

    def forward(self, out: Tensor, target: Tensor) -> Tensor:
        return nn.functional.cross_entropy(out[:, :2], target.clamp(max=1))


def run(model: nn.Module, loss: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Steps that were done before the run ended, by an error or at its end."""
    train = TrainLoader(DATA, DATA.splits["train"], batch_size=8, device=CPU)
    val = EvalLoader(DATA, DATA.splits["val"], batch_size=8, device=CPU)
    state = TrainState(model, optimizer, None, None)
    for _ in fit(state, model, loss, DATA, train, val, Recipe(3, 0, "fp32", None, "interleaved")):
        pass
    return state.step


@pytest.mark.parametrize(("spoil", "what"), [(buffer, "a weight or buffer"), (output, "an output")])
def test_a_buffer_or_an_output_that_is_not_finite_is_found_at_its_step(
    spoil: Callable[[Spoiled, Tensor], Tensor], what: str
) -> None:
    model = Spoiled(spoil)
    with pytest.raises(DivergedError, match=f"{what} became non-finite at step 3, in epoch 1") as told:
        run(model, OnTwo(), torch.optim.SGD(model.parameters(), lr=0.01))
    assert (told.value.step, told.value.epoch) == (3, 1)
    assert model.calls <= 4, "at most one step later"


class LostLater(nn.Module):
    """NaN at every evaluation of a step but the first: L-BFGS asks several times."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value
        self.calls = 0

    def forward(self, out: Tensor, target: Tensor) -> Tensor:
        self.calls += 1
        loss = nn.functional.cross_entropy(out, target)
        return loss + self.value if self.calls % 2 == 0 else loss


@pytest.mark.parametrize("search", ["strong_wolfe", None])
def test_a_loss_that_is_lost_within_a_step_of_lbfgs_is_found(search: str | None) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=2, line_search_fn=search)
    with pytest.raises(DivergedError, match="non-finite at step 1"):
        run(model, LostLater(math.nan), optimizer)


def test_a_probe_of_lbfgs_where_the_loss_overflows_is_no_end() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    loss = nn.CrossEntropyLoss()
    probes: list[float] = []

    class Probing(nn.Module):
        def forward(self, out: Tensor, target: Tensor) -> Tensor:
            value: Tensor = loss(out, target)
            probes.append(float(value))
            return value

    assert run(model, Probing(), torch.optim.LBFGS(model.parameters(), max_iter=3)) == 12
    assert len(probes) > 12
