"""Batches in parts: the same steps as whole batches, and smaller parts where memory runs out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import nnkit
from checkpoint_files import last_state
from nnkit.errors import NnkitError, UsageError
from nnkit.results.train import TrainResult
from nnkit.training.parts import Parts
from nnkit.types import Batch
from tiny_plugin import TinyPlugin

Train = Callable[..., TrainResult]
PIXELS = 64
"""Of one image of the tiny dataset."""


@pytest.fixture
def train(tiny: TinyPlugin, monkeypatch: pytest.MonkeyPatch) -> Train:
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])

    def run(**options: Any) -> TrainResult:
        base: dict[str, Any] = {"dataset": "tiny", "epochs": 2, "optimizer": "sgd:lr=0.1,momentum=0.9"}
        return nnkit.train(**(options if "resume" in options else {**base, "runs_dir": tiny.runs, **options}))

    return run


def weights(result: TrainResult) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = last_state(result.run_dir).parts["model"]
    return found


def losses(result: TrainResult) -> list[float]:
    lines = (result.run_dir / "metrics.jsonl").read_text().splitlines()
    return [record["loss"] for line in lines if (record := json.loads(line))["kind"] == "step"]


def assert_close(found: TrainResult, expected: TrainResult, tolerance: float) -> None:
    assert losses(found) == pytest.approx(losses(expected), abs=tolerance)
    for name, value in weights(expected).items():
        assert torch.allclose(weights(found)[name], value, rtol=0, atol=tolerance), name


@given(num_images=st.integers(1, 50), number=st.integers(1, 60), masked=st.booleans())
def test_parts_hold_every_image_once_in_order_and_are_of_one_size(
    num_images: int, number: int, masked: bool
) -> None:
    inputs, targets = torch.rand(num_images, 1, 2, 2), torch.arange(num_images)
    mask = torch.ones(num_images, 1, 2, 2, dtype=torch.bool) if masked else None
    parts = Parts(number).split(Batch(inputs, targets, np.arange(num_images), mask, (2, 2)))
    assert torch.equal(torch.cat([part.inputs for part in parts]), inputs)
    assert torch.cat([part.targets for part in parts]).tolist() == list(range(num_images))
    assert np.concatenate([part.indices for part in parts]).tolist() == list(range(num_images))
    assert all((part.mask is not None and len(part.mask) == len(part.targets)) == masked for part in parts)
    assert len(parts) <= number
    assert max(len(part.targets) for part in parts) == -(-num_images // number)
    assert {part.original_size for part in parts} == {(2, 2)}


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        ({}, 1e-6),
        ({"dataset": "tiny:several=true", "augment": "affine"}, 1e-6),
        ({"schedule": "one-cycle", "clip": 0.5, "ema": 0.5, "label_smoothing": 0.1}, 1e-6),
        # Its line search divides small differences of float32 by small ones.
        ({"optimizer": "lbfgs:max_iter=2"}, 1e-4),
    ],
    ids=["plain", "sizes", "everything", "lbfgs"],
)
def test_four_batches_of_eight_step_as_one_of_thirty_two(
    train: Train, options: dict[str, Any], tolerance: float
) -> None:
    whole = train(batch_size=32, **options)
    added = train(batch_size=8, accumulate=4, **options)
    assert_close(added, whole, tolerance)
    assert losses(added) != losses(train(batch_size=8, **options))


@pytest.mark.parametrize("loss", ["mse", "mse-sum", "range-mse"])
def test_sums_and_means_add_up_alike(train: Train, loss: str) -> None:
    settings = {
        "dataset": "cifar-transform:source=synthetic,pipeline='resize(8),grayscale'",
        "model": "mlp-bottleneck:hidden=4", "limit": 40, "loss": loss, "optimizer": "sgd:lr=1e-4",
    }  # fmt: skip
    whole, added = train(batch_size=20, **settings), train(batch_size=5, accumulate=4, **settings)
    assert losses(added) == pytest.approx(losses(whole), rel=1e-6)
    for name, value in weights(whole).items():
        assert torch.allclose(weights(added)[name], value, rtol=0, atol=1e-6), name


def test_out_of_memory_goes_on_in_parts_that_fit_with_the_same_steps(
    train: Train, caplog: pytest.LogCaptureFixture
) -> None:
    most = 9 * PIXELS
    whole = train(batch_size=32)
    found = train(batch_size=32, on_oom="shrink", model=f"tiny-net:most_pixels={most}")
    assert_close(found, whole, 1e-6)
    assert "out of memory: training goes on with 16 images at once" in caplog.text
    assert "out of memory: training goes on with 8 images at once" in caplog.text
    assert caplog.text.count("out of memory") == 2, "it is said when it shrinks, not at each step"


def test_what_a_step_that_broke_off_had_changed_is_taken_back(train: Train) -> None:
    """Batch norm's statistics and the random numbers of dropout are those of a step that began once."""
    model = "tiny-net:norm=true,dropout=0.4"
    known = train(batch_size=32, model=model, accumulate=1, limit=32)
    split = train(batch_size=16, accumulate=2, model=model, limit=32)
    shrunk = train(batch_size=32, on_oom="shrink", model=f"{model},most_pixels={17 * PIXELS}", limit=32)
    assert losses(shrunk) == losses(split)
    for name, value in weights(split).items():
        assert torch.equal(weights(shrunk)[name], value), name
    assert losses(known) != losses(split), "the parts are normalised each by itself"


def test_evaluation_shrinks_too_and_counts_every_image_once(
    train: Train, caplog: pytest.LogCaptureFixture
) -> None:
    whole = train(batch_size=16, test=True)
    found = train(batch_size=16, on_oom="shrink", model=f"tiny-net:most_eval_pixels={7 * PIXELS}")
    assert found.test is not None
    assert whole.test is not None
    assert found.test["accuracy"] == whole.test["accuracy"]
    assert found.test["loss"] == pytest.approx(whole.test["loss"], rel=1e-6)
    assert "out of memory: evaluation goes on with" in caplog.text


def test_not_one_image_fits_and_without_shrink_it_stops_and_names_a_size(train: Train) -> None:
    with pytest.raises(NnkitError, match="out of memory on cpu with batches of 32") as caught:
        train(batch_size=32, model=f"tiny-net:most_pixels={9 * PIXELS}")
    assert "--batch-size 8 fits" in caught.value.hint
    with pytest.raises(NnkitError, match="out of memory on cpu"):
        train(batch_size=32, on_oom="shrink", model=f"tiny-net:most_pixels={PIXELS - 1}")


def test_a_resumed_run_begins_with_the_parts_that_fitted(
    train: Train, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = f"tiny-net:most_pixels={9 * PIXELS}"
    first = train(batch_size=32, on_oom="shrink", model=model, epochs=1)
    caplog.clear()
    more = train(resume=first.run_dir, epochs=2)
    assert "out of memory" not in caplog.text
    assert_close(more, train(batch_size=32), 1e-6)


def test_lbfgs_cannot_shrink(train: Train) -> None:
    with pytest.raises(UsageError, match="lbfgs has moved the weights when memory runs out"):
        train(optimizer="lbfgs", on_oom="shrink")


def test_the_most_pixels_of_a_batch_hold_for_each_part(train: Train) -> None:
    options = {"dataset": "tiny:several=true", "bucketing": f"max_pixels={4 * PIXELS}"}
    alone, added = train(batch_size=8, **options), train(batch_size=8, accumulate=3, **options)
    steps = len(losses(alone)), len(losses(added))
    assert steps[1] * 2 < steps[0]
