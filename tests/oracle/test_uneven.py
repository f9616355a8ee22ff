"""Uneven classes: weights of the cross-entropy and balanced epochs, followed by the oracle step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nnkit
from oracle.components import SmallNet
from oracle.following import Followed, as_options, check_steps, default_dtype, nnkits
from oracle.loop import Options, cross_entropy, train

COUNTS = (26, 9, 4)
LABELS = np.repeat(np.arange(3), COUNTS)
IMAGES = np.random.default_rng(4).integers(0, 256, (len(LABELS), 1, 8, 8), dtype=np.uint8)


def weighted(smoothing: float) -> Any:
    """The mean over images of n / (K n_k) times the cross-entropy; smoothed targets weigh as their class."""
    weights = torch.tensor([len(LABELS) / (3 * count) for count in COUNTS])

    def criterion(output: Tensor, target: Tensor) -> Tensor:
        if not smoothing:
            each = torch.stack([cross_entropy(o[None], t[None]) for o, t in zip(output, target, strict=True)])
            return (weights[target] * each).mean()
        q = torch.full_like(output, smoothing / 3)
        q[torch.arange(len(target)), target] += 1 - smoothing
        return -(weights * q * output.log_softmax(1)).sum(1).mean()

    return criterion


@pytest.mark.parametrize(
    ("options", "smoothing"),
    [
        ({"class_weights": "balanced"}, 0.0),
        ({"class_weights": "balanced"}, 0.2),
        ({"class_weights": "balanced", "accumulate": 2}, 0.0),
        ({"class_weights": "balanced", "sampler": "balanced"}, 0.0),
        ({"sampler": "balanced"}, 0.0),
    ],
)
def test_uneven_classes_are_trained_as_documented(
    tmp_path: Path, options: dict[str, Any], smoothing: float
) -> None:
    x = Options(batch_size=10, epochs=2, label_smoothing=smoothing)
    with default_dtype(torch.float64):
        data = nnkit.Data((IMAGES, LABELS), val=(IMAGES[:3], LABELS[[0, 26, 35]]))
        per_step = x.batch_size // options.get("accumulate", 1)
        result, seen = nnkits(
            tmp_path, SmallNet, nn.CrossEntropyLoss, dataset=data, model=SmallNet,
            **{**as_options(x), **options, "batch_size": per_step},
        )  # fmt: skip
        mean, std = data._data.mean[0], data._data.std[0]
        steps = [as_one(calls, options.get("accumulate", 1)) for calls in seen.phases()[0:4:2]]
        shown = [[images_of(inputs * std + mean) for inputs in epoch] for epoch in steps]
        for epoch in shown:
            places = np.concatenate(epoch)
            assert len(places) == len(LABELS)
            counts = np.bincount(LABELS[places])
            assert counts.tolist() == ([13] * 3 if "sampler" in options else list(COUNTS))
        torch.manual_seed(x.seed)
        order = [
            [(torch.from_numpy(IMAGES[p]) / 255.0, None, torch.from_numpy(LABELS[p])) for p in epoch]
            for epoch in shown
        ]
        criterion = weighted(smoothing) if "class_weights" in options else None
        net = SmallNet(num_classes=3, in_channels=1)
        oracle = train(x, net, order, mean=mean, std=std, criterion=criterion)
        if "accumulate" not in options:
            check_steps(Followed(result, seen, oracle, data._data), x)
        assert [float(step.loss) for step in seen.steps] == pytest.approx(oracle.losses, rel=1e-10)


def as_one(calls: list[Any], parts: int) -> list[Tensor]:
    """The inputs of each step, which are those of so many calls (the last step may have fewer)."""
    inputs = [call.inputs for call in calls]
    return [torch.cat(inputs[at : at + parts]) for at in range(0, len(inputs), parts)]


def images_of(batch: Tensor) -> np.ndarray:
    """Which images a batch shows, by their pixels."""
    known = torch.from_numpy(IMAGES) / 255.0
    return (batch[:, None] - known[None]).abs().amax((2, 3, 4)).argmin(1).numpy()
