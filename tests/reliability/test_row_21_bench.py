"""A benchmark's verdicts: rarely false, never blind, and no broken network passes its gate.

Row 21 of docs/reliability.md.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from nnkit.api import bench
from nnkit.studies.bench import arms as bench_arms
from nnkit.studies.bench.timing import Timing, interleave, paired_ratio, verdict

ROUNDS = 25
MOST_FALSE = 10
"""Of a hundred; five is the rate of a 95 % interval."""


def work(repeats: int) -> None:
    """About 40 microseconds each time, in Python, which no cache makes faster."""
    for _ in range(repeats):
        sum(range(2000))


@pytest.mark.slow
@pytest.mark.serial
def test_a_function_against_itself_is_told_apart_at_most_10_times_in_100() -> None:
    false = 0
    for seed in range(100):
        timings = interleave({"a": lambda: work(10), "b": lambda: work(10)}, rounds=ROUNDS, seed=seed)
        false += verdict(paired_ratio(timings["a"], timings["b"], seed=seed)) != "no difference"
    assert false <= MOST_FALSE


@pytest.mark.slow
@pytest.mark.serial
def test_a_planted_slow_down_of_20_percent_is_always_found() -> None:
    for seed in range(20):
        timings = interleave({"a": lambda: work(24), "b": lambda: work(20)}, rounds=ROUNDS, seed=seed)
        ratio = paired_ratio(timings["a"], timings["b"], seed=seed)
        assert verdict(ratio, min_effect=0.02) == "slower", ratio


def test_the_rate_of_false_verdicts_is_that_of_the_interval() -> None:
    """The same on drawn times, where no machine disturbs: 1,000 pairs, heavy tails, 5 % within its error."""
    rng = np.random.default_rng(0)
    false = 0
    for seed in range(1000):
        a, b = (Timing(tuple(1 + rng.exponential(0.05, 15))) for _ in range(2))
        false += verdict(paired_ratio(a, b, seed=seed, resamples=500)) != "no difference"
    assert 10 <= false <= 100


def test_an_effect_under_the_smallest_that_counts_is_no_difference() -> None:
    samples = np.linspace(1, 1.001, 20)
    ratio = paired_ratio(Timing(tuple(1.01 * samples)), Timing(tuple(samples)))
    assert ratio.excludes_one
    assert verdict(ratio, min_effect=0.02) == "no difference"
    assert verdict(ratio, min_effect=0.005) == "slower"


class Identity(nn.Module):
    """The middle of the image as it is: no transform at all."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, :1, 2:30, 2:30]


class Constant(nn.Module):
    """Grey, whatever it sees."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.full((len(images), 1, 28, 28), 0.5)


class Blurred(nn.Module):
    """The right images, blurred over three pixels."""

    def __init__(self) -> None:
        super().__init__()
        from nnkit.surrogates.pipelines import parse_pipeline

        self.exact = parse_pipeline("reference")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return nn.functional.avg_pool2d(self.exact.run(images), 3, stride=1, padding=1)


@pytest.mark.parametrize("wrong", [Identity, Constant, Blurred])
def test_the_fidelity_gate_flags_what_does_not_do_the_transforms(
    wrong: type[nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_arms, "_from_spec", lambda *_: bench_arms._Network("wrong", wrong(), 0.0, ""))
    result = bench(model=["linear"], limit=64, repeats=3, threads=1)
    assert result.arms[-1]["fidelity"]["class"] == "approximate"
    assert not any(found["replaces"] for found in result.comparisons if found["a"] == "wrong")
    assert result.best is not None
    assert result.best["arm"] != "wrong"
    assert result.break_even_images is None
