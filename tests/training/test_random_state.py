"""A run on one device leaves the random numbers of the others alone, and gives its own back."""

from __future__ import annotations

import pytest
import torch

from nnkit.training import random_state
from nnkit.training.loop import seed_step

CPU = torch.device("cpu")


def test_a_run_on_the_cpu_touches_no_other_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*numbers: object) -> None:
        raise AssertionError("the generator of a device that the run does not use was seeded")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for name in ("manual_seed", "manual_seed_all"):
        monkeypatch.setattr(torch.cuda, name, refuse)
    monkeypatch.setattr(torch.mps, "manual_seed", refuse)
    with random_state.kept(CPU):
        random_state.seed(7, CPU)
        seed_step(1, 2, 3, CPU)


def test_the_generators_are_given_back_as_they_were() -> None:
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    with random_state.kept(CPU):
        random_state.seed(1, CPU)
        inside = torch.rand(4)
    assert torch.equal(torch.rand(4), expected)
    random_state.seed(1, CPU)
    assert torch.equal(torch.rand(4), inside)


@pytest.mark.gpu
def test_of_several_devices_the_runs_own_is_seeded_and_given_back() -> None:
    device = torch.device("cuda:0")
    before = torch.cuda.get_rng_state(device)
    with random_state.kept(device):
        random_state.seed(3, device)
        first = torch.rand(4, device=device)
        random_state.seed(3, device)
        assert torch.equal(torch.rand(4, device=device), first)
    assert torch.equal(torch.cuda.get_rng_state(device), before)
