"""A component is made for a check as a command would make it, and what is missing is said."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from nnkit.errors import DataError, UsageError
from nnkit.testing import Skipped, Subject
from nnkit.types import Pooling, nested


class Net(nn.Module):
    """A model with a nested pooling and a required setting."""

    def __init__(self, *, width: int, in_channels: int = 1, pooling: Pooling = nested("max")) -> None:
        super().__init__()
        self.linear = nn.Linear(width, in_channels)
        self.pooling = pooling

    def forward(self, inputs: Tensor) -> Tensor:
        return self.pooling(inputs)


def test_it_is_made_from_settings_what_the_dataset_knows_and_nested_components() -> None:
    net = Subject("models", Net, {"width": 3, "pooling": "avg"}, known={"in_channels": 2}).make()
    assert net.linear.weight.shape == (2, 3)
    assert type(net.pooling).__name__ == "Avg"


def test_its_weights_come_from_the_seed_and_the_callers_random_numbers_are_left_alone() -> None:
    subject = Subject("models", Net, {"width": 3})
    state = torch.random.get_rng_state()
    first, again, other = (subject.make(seed=seed).linear.weight for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"in_channels": 1}, r"Net\.width: this setting is required .*settings are given with --spec"),
        ({"width": "three"}, r"Net\.width: "),
        ({"width": 3, "in_channels": 2}, "2 given, but the dataset has 1"),
    ],
)
def test_settings_that_do_not_fit_are_a_failed_check_that_says_why(
    settings: dict[str, object], message: str
) -> None:
    with pytest.raises(AssertionError, match=message):
        Subject("models", Net, settings).make()


class Bounded:
    """A rule whose settings are optional one by one, and of which one is needed; or that needs a file."""

    def __init__(self, *, below: float | None = None, above: float | None = None, file: bool = False) -> None:
        if file:
            raise DataError("the file is missing")
        if (below is None) == (above is None):
            raise UsageError("expected one of below and above")


class Broken:
    """A rule that nothing can make."""

    def __init__(self) -> None:
        raise ValueError("no")


def test_what_needs_settings_that_nobody_gave_is_skipped_with_the_reason() -> None:
    with pytest.raises(
        Skipped, match=r"Net\.width: this setting is required .*settings are given with --spec"
    ):
        Subject("models", Net).make()
    with pytest.raises(Skipped, match="expected one of below and above; settings are given with --spec"):
        Subject("stopping_rules", Bounded).make()
    with pytest.raises(UsageError, match="expected one of below and above"):
        Subject("stopping_rules", Bounded, {"below": 1.0, "above": 2.0}).make()
    with pytest.raises(ValueError, match="no"):
        Subject("stopping_rules", Broken).make()


def test_what_needs_files_that_are_not_here_is_skipped_with_the_reason() -> None:
    with pytest.raises(Skipped, match="its files are not here: the file is missing"):
        Subject("stopping_rules", Bounded, {"file": True}).make()
