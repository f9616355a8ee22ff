"""`nnkit.train` follows the oracle step by step, for each option alone and for random combinations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from nnkit.models.mnist_convnet import MnistConvnet
from nnkit.models.varres_net import VarresNet
from nnkit.models.varres_plus import VarresPlus
from nnkit.poolings.max import Max
from nnkit.types import Data
from oracle.components import FlatNet, OneOfEach, SmallNet
from oracle.following import check_epochs, check_steps, default_dtype, follow
from oracle.geometry import DRAWN
from oracle.loop import Options
from oracle.recorder import Call

ALONE: list[Options] = [
    Options(),
    Options(epochs=3),
    Options(lr=0.05),
    Options(batch_size=7),
    Options(seed=5),
    Options("sgd", lr=0.5),
    Options("sgd", {"momentum": 0.9}, lr=0.1),
    Options("sgd", {"momentum": 0.9, "nesterov": True}, lr=0.1),
    Options("sgd", {"weight_decay": 0.1}, lr=0.5),
    Options("adam", {"betas": [0.5, 0.9]}),
    Options("adam", {"eps": 0.1}),
    Options("adam", {"weight_decay": 0.1}),
    Options("adamw"),
    Options("adamw", {"betas": [0.5, 0.9]}),
    Options("adamw", {"eps": 0.1}),
    Options("adamw", {"weight_decay": 0.5}),
    Options("rmsprop", {"alpha": 0.9, "momentum": 0.5}),
    Options("nadam", {"eps": 1e-3}),
    Options("radam", {"eps": 1e-3}, epochs=3),
    Options("adagrad", {"weight_decay": 0.1}),
    Options("muon", lr=0.02),
    Options("muon", {"momentum": 0.5, "weight_decay": 0.3}, lr=0.02),
    Options("muon", {"adam_lr": 0.01, "betas": [0.5, 0.9]}, lr=0.02, epochs=3),
    Options("muon", {"adam_lr": 0.01}, lr=0.1, schedule="one-cycle"),
    Options("lbfgs", lr=0.02, label_smoothing=0.5, batch_size=40, epochs=1),
    Options("lbfgs", {"max_iter": 6}, lr=1.0, label_smoothing=0.5, batch_size=40),
    Options("lbfgs", {"max_iter": 8, "history_size": 2}, lr=1.0, label_smoothing=0.5, batch_size=40),
    Options(schedule="cosine"),
    Options(schedule="one-cycle", epochs=3),
    Options("sgd", {"momentum": 0.5}, schedule="one-cycle", lr=0.1),
    Options(schedule="cosine", of_schedule={"eta_min": 1e-3}),
    Options(schedule="linear-warmup-cosine", batch_size=4),
    Options(schedule="linear-warmup-cosine", of_schedule={"warmup": 0.2, "final": 0.1}, epochs=3),
    Options(schedule="linear-warmup-cosine", of_schedule={"warmup": 0, "final": 0.5}),
    Options(schedule="one-cycle", of_schedule={"warmup": 0.6}),
    Options(schedule="step", of_schedule={"step_size": 1, "gamma": 0.5}),
    Options(schedule="step", of_schedule={"step_size": 3}),
    Options(schedule="exponential", of_schedule={"gamma": 0.7}, epochs=3, ema=0.5),
    Options(clip=0.05),
    Options(label_smoothing=0.2),
    Options(ema=0.6, epochs=3),
    Options(augment="affine"),
    Options(augment="rotate"),
    Options(augment="report"),
    Options(augment="flip"),
    Options(augment="flip:vertical=true"),
    Options(augment="crop:padding=2"),
    Options(augment="crop:padding=3,fill=reflect"),
    Options(augment="cutout:size=4"),
    Options(augment="cutout:share=0.5"),
    Options(augment="color-jitter"),
    Options(augment="crop:padding=2+flip+color-jitter+rotate+cutout:size=4"),
]


def net_for(x: Options) -> tuple[type[nn.Module], str]:
    """A model, and its spec: L-BFGS is followed on a convex loss, see `FlatNet`."""
    return (FlatNet, "flat-net") if x.optimizer == "lbfgs" else (SmallNet, "small-net")


@pytest.mark.parametrize("x", ALONE, ids=str)
def test_each_option_does_what_it_says(oracle_components: Path, x: Options) -> None:
    net, spec = net_for(x)
    with default_dtype(torch.float64):
        found = follow(oracle_components, x, net, spec=spec)
        check_steps(found, x)
        check_epochs(found, x, net(num_classes=40))


@pytest.mark.parametrize(
    ("spec", "settings"),
    [
        ("small-net:width=3", {"width": 3}),
        ("small-net:dropout=0.4", {"dropout": 0.4}),
        ("small-net:norm=true", {"norm": True}),
        ("small-net:norm=true,dropout=0.2", {"norm": True, "dropout": 0.2}),
    ],
)
def test_dropout_and_batch_norm_are_in_the_mode_that_they_should_be(
    oracle_components: Path, spec: str, settings: dict[str, Any]
) -> None:
    x = Options(ema=0.5, seed=2)
    with default_dtype(torch.float64):
        found = follow(oracle_components, x, SmallNet, spec=spec, settings=settings)
        check_steps(found, x)
        check_epochs(found, x, SmallNet(num_classes=40, **settings))


MODELS: dict[str, tuple[type[nn.Module], dict[str, Any]]] = {
    "mnist-convnet": (MnistConvnet, {"image_size": (28, 28)}),
    # The oracle trains it with torch's convolution.
    "mnist-convnet:conv=unfold": (MnistConvnet, {"image_size": (28, 28)}),
    "varres-net:width=5": (VarresNet, {"width": 5, "pooling": Max()}),
    "varres-plus:widths=[4,6],pools=1": (VarresPlus, {"widths": (4, 6), "pools": 1, "pooling": Max()}),
}


@pytest.mark.parametrize("spec", MODELS)
def test_built_in_classifiers_are_trained_as_the_oracle_trains_them(
    oracle_components: Path, spec: str
) -> None:
    x, (net, settings) = Options(batch_size=20), MODELS[spec]
    with default_dtype(torch.float64):
        data = OneOfEach(size=28).load(None)
        found = follow(
            oracle_components, x, net, spec=spec, settings=settings, data=data, dataset="one-of-each:size=28"
        )
        check_steps(found, x)
        check_epochs(found, x, net(num_classes=40, in_channels=1, **settings))


@pytest.mark.parametrize("buckets", [None, 1, 2])
@pytest.mark.parametrize("order", ["interleaved", "by-resolution"])
def test_images_of_several_sizes_share_batches_as_the_buckets_say(
    oracle_components: Path, buckets: int | None, order: str
) -> None:
    x = Options(batch_size=9)
    with default_dtype(torch.float64):
        data = OneOfEach(several=True).load(None)
        found = follow(
            oracle_components, x, SmallNet, data=data, dataset="one-of-each:several=true", order=order,
            bucketing={"max_buckets": buckets} if buckets else None,
        )  # fmt: skip
        check_steps(found, x)
        check_epochs(found, x, SmallNet(num_classes=40))
    for phase in found.seen.phases()[0:4:2]:
        shapes = [tuple(call.inputs.shape[2:]) for call in phase]
        assert len(set(shapes)) == (buckets or 3)
        assert all((call.mask is not None) == (buckets is not None) for call in phase if _mixed(call, data))
        areas = [height * width for height, width in shapes]
        assert (areas == sorted(areas)) or order == "interleaved"


@pytest.mark.parametrize(
    "augment",
    ["affine", "rotate", "report", *DRAWN, "flip+affine+crop:padding=3,fill=reflect+cutout:share=0.5"],
)
def test_padded_images_are_augmented_each_within_its_own_rectangle(
    oracle_components: Path, augment: str
) -> None:
    x = Options(batch_size=9, augment=augment)
    with default_dtype(torch.float64):
        found = follow(
            oracle_components,
            x,
            SmallNet,
            data=OneOfEach(several=True).load(None),
            dataset="one-of-each:several=true",
            bucketing="max_buckets=1",
        )
        check_steps(found, x)
        check_epochs(found, x, SmallNet(num_classes=40))
    assert any(call.mask is not None for call in found.seen.phases()[0])


def _mixed(call: Call, data: Data) -> bool:
    assert call.target is not None
    return len(np.unique(data.splits["train"].sizes[call.target.numpy()], axis=0)) > 1


@st.composite
def combinations(draw: st.DrawFn) -> Options:
    """Options drawn independently of one another, as far as they go together."""
    optimizer = draw(st.sampled_from(["sgd", "adam", "adamw"]))
    betas = st.sampled_from([[0.9, 0.999], [0.5, 0.9], [0.0, 0.99]])
    settings: dict[str, Any] = {"weight_decay": draw(st.sampled_from([0.0, 0.01, 0.3]))}
    if optimizer == "sgd":
        settings |= {"momentum": draw(st.sampled_from([0.5, 0.9])), "nesterov": draw(st.booleans())}
    else:
        settings |= {"betas": draw(betas), "eps": draw(st.sampled_from([1e-8, 1e-3, 0.1]))}
    return Options(
        optimizer,
        settings,
        lr=draw(st.sampled_from([1e-3, 1e-2, 0.1])),
        schedule=draw(st.sampled_from(["none", "cosine", "one-cycle", "linear-warmup-cosine"])),
        epochs=draw(st.integers(1, 3)),
        batch_size=draw(st.integers(4, 41)),
        augment=draw(
            st.sampled_from(["none", "affine", "rotate", "report"])
            | st.lists(st.sampled_from(sorted(DRAWN)), min_size=1, max_size=3).map("+".join)
        ),
        clip=draw(st.none() | st.sampled_from([0.01, 0.5, 10.0])),
        label_smoothing=draw(st.sampled_from([0.0, 0.1, 0.6])),
        ema=draw(st.sampled_from([0.0, 0.5, 0.99])),
        seed=draw(st.integers(0, 2**40)),
    )


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(x=combinations(), norm=st.booleans(), dropout=st.sampled_from([0.0, 0.3]))
def test_random_combinations_of_options_are_followed(
    oracle_components: Path, x: Options, norm: bool, dropout: float
) -> None:
    spec = f"small-net:norm={str(norm).lower()},dropout={dropout}"
    with default_dtype(torch.float64):
        found = follow(oracle_components, x, SmallNet, spec=spec, settings={"norm": norm, "dropout": dropout})
        check_steps(found, x)
        check_epochs(found, x, SmallNet(num_classes=40, norm=norm, dropout=dropout))
