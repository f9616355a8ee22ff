"""Networks in place of image transforms are trained as the oracle trains them, with every loss for images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from checkpoint_files import best_file
from nnkit.losses.mse_sum import MseSum
from nnkit.losses.range_mse import RangeMse
from nnkit.models.conv4 import Conv4
from nnkit.models.conv_linear import ConvLinear
from nnkit.models.conv_shrink import ConvShrink
from nnkit.models.linear import Linear
from nnkit.models.mlp_bottleneck import MlpBottleneck
from nnkit.models.separable import Separable
from nnkit.models.transform_net import TransformNet
from oracle.components import Pairs
from oracle.following import (
    CLOSE,
    Followed,
    as_options,
    assert_close,
    check_steps,
    default_dtype,
    nnkits,
    pairs_shown,
)
from oracle.loop import Options, train

Criterion = Callable[[Tensor, Tensor], Tensor]


def squares(output: Tensor, target: Tensor) -> Tensor:
    return ((output - target) ** 2).sum() / len(target)


def weighted(weight: float) -> Criterion:
    """Summed squares per image, those of values outside [0, 1] `weight` times."""

    def criterion(output: Tensor, target: Tensor) -> Tensor:
        outside = (output < 0) | (output > 1)
        return ((output - target) ** 2 * torch.where(outside, weight, 1.0)).sum() / len(target)

    return criterion


def mean_squares(output: Tensor, target: Tensor) -> Tensor:
    return ((output - target) ** 2).mean()


LOSSES: dict[str, tuple[type[nn.Module], Criterion, bool]] = {
    "mse": (nn.MSELoss, mean_squares, False),
    "mse-sum": (MseSum, squares, True),
    "range-mse": (RangeMse, weighted(2.0), True),
    "range-mse:weight=5": (RangeMse, weighted(5.0), True),
}
SIZES: dict[str, Any] = {"in_channels": 3, "target_channels": 1, "target_size": (4, 4)}
MODELS: dict[str, tuple[type[nn.Module], dict[str, Any]]] = {
    "linear": (Linear, {**SIZES, "image_size": (8, 8)}),
    "conv-linear": (ConvLinear, {**SIZES, "image_size": (8, 8)}),
    "mlp-bottleneck": (MlpBottleneck, {**SIZES, "image_size": (8, 8)}),
    "conv4:width=6": (Conv4, {**SIZES, "width": 6}),
    "conv-shrink:kernel=3": (ConvShrink, {**SIZES, "image_size": (8, 8), "kernel": 3}),
    "conv-shrink:kernel=5": (ConvShrink, {**SIZES, "image_size": (8, 8), "kernel": 5}),
    "transform-net": (TransformNet, SIZES),
    "separable": (Separable, {**SIZES, "image_size": (8, 8)}),
}


def follow_pairs(runs: Path, x: Options, spec: str, loss: str) -> Followed:
    (net, settings), (judge, criterion, sums) = MODELS[spec], LOSSES[loss]
    result, seen = nnkits(runs, net, judge, dataset="pairs", model=spec, loss=loss, **as_options(x))
    data = Pairs().load(None)
    torch.manual_seed(x.seed)
    ours = net(**settings).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    order = [[pairs_shown(data, call) for call in phase] for phase in seen.phases()[0 : 2 * x.epochs : 2]]
    # A summed loss trains on the sum over the batch and is reported per image.
    trained = (lambda output, target: criterion(output, target) * len(target)) if sums else criterion
    trace = train(x, ours, order, criterion=trained)
    if sums:
        sizes_of = [len(batch[2]) for epoch in order for batch in epoch]
        trace.losses = [loss / size for loss, size in zip(trace.losses, sizes_of, strict=True)]
    return Followed(result, seen, trace, data)


@pytest.mark.parametrize("loss", LOSSES)
def test_each_loss_for_images_is_what_it_says(oracle_components: Path, loss: str) -> None:
    x = Options("sgd", lr=1e-3 if loss != "mse" else 0.1)
    with default_dtype(torch.float64):
        found = follow_pairs(oracle_components, x, "linear", loss)
        check_steps(found, x)
        check_metrics(found, x, "linear", loss)


@pytest.mark.parametrize("spec", MODELS)
def test_each_model_for_images_is_trained_as_the_oracle_trains_it(oracle_components: Path, spec: str) -> None:
    x = Options(ema=0.5, batch_size=16)
    with default_dtype(torch.float64):
        found = follow_pairs(oracle_components, x, spec, "mse")
        check_steps(found, x)
        check_metrics(found, x, spec, "mse")


def check_metrics(found: Followed, x: Options, spec: str, loss: str) -> None:
    """Validation and test metrics are NumPy's over all images, of the oracle's weights."""
    for at, epoch in enumerate(found.seen.epochs):
        expected = by_numpy(found, found.oracle.validated[at], "val", spec, loss)
        assert {key: epoch.metrics[f"val_{key}"] for key in expected} == pytest.approx(expected, rel=CLOSE)
    best = found.result.best["epoch"]
    losses = [epoch.metrics["val_loss"] for epoch in found.seen.epochs]
    assert losses[best - 1] == min(losses)
    kept = found.oracle.validated[best - 1]
    assert_close(load_file(best_file(found.result.run_dir)), kept, CLOSE)
    expected = by_numpy(found, kept, "test", spec, loss)
    assert {key: found.result.test[key] for key in expected} == pytest.approx(expected, rel=CLOSE)


def by_numpy(
    found: Followed, weights: dict[str, Tensor], split: str, spec: str, loss: str
) -> dict[str, float]:
    net = MODELS[spec][0](**MODELS[spec][1])
    net.load_state_dict(weights)
    part = found.data.splits[split]
    losses, errors, cosines = [], [], []
    for index in part.indices:
        target = part.targets[int(index)].numpy()
        with torch.no_grad():
            output = net.eval()(part.images.image(int(index))[None] / 255)[0]
        losses.append(float(LOSSES[loss][1](output[None], torch.from_numpy(target[None]))))
        out = output.numpy()
        errors.append(out - target)
        cosines.append((out * target).sum() / np.sqrt((out**2).sum() * (target**2).sum()))
    error = np.stack(errors)
    return {
        "loss": float(np.mean(losses)),
        "mse": float((error**2).mean()),
        "mae_sum": float(np.abs(error).sum(axis=(1, 2, 3)).mean()),
        "max_abs_error": float(np.abs(error).max()),
        "psnr": float(-10 * np.log10((error**2).mean())),
        "cosine_accuracy": float((np.array(cosines) >= 0.95).mean()),
    }
