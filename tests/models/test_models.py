"""How many parameters the built-in models have, at their default sizes and by the formula for others."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from nnkit.build import build

GREY_DIGITS = {"in_channels": 1, "image_size": (28, 28), "num_classes": 10}
COLOUR_TO_GREY = {"in_channels": 3, "image_size": (32, 32), "target_channels": 1, "target_size": (28, 28)}
OTHER = {
    "in_channels": 2,
    "image_size": (17, 12),
    "target_channels": 3,
    "target_size": (9, 4),
    "num_classes": 7,
}


def num_parameters(spec: str, known: dict[str, Any]) -> int:
    model: nn.Module = build("models", spec, known=known)
    assert all(parameter.requires_grad for parameter in model.parameters())
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("filled_in", [True, False])
@pytest.mark.parametrize(
    ("spec", "known", "count"),
    [
        ("conv-linear", COLOUR_TO_GREY, 803_604),
        ("linear", COLOUR_TO_GREY, 2_409_232),
        ("conv-shrink", COLOUR_TO_GREY, 38),
        ("conv-shrink:kernel=3", COLOUR_TO_GREY, 38),
        ("conv-shrink:kernel=5", COLOUR_TO_GREY, 76),
        ("transform-net", COLOUR_TO_GREY, 3),
        ("mlp-bottleneck", COLOUR_TO_GREY, 494_480),
        ("mlp-bottleneck:hidden=128", COLOUR_TO_GREY, 494_480),
        ("conv4", COLOUR_TO_GREY, 135_361),
        ("conv4:width=64,dropout=0.2", COLOUR_TO_GREY, 135_361),
        ("separable", COLOUR_TO_GREY, 1_795),
        ("separable:band=3", COLOUR_TO_GREY, 171),
        ("mnist-convnet", GREY_DIGITS, 29_066),
        ("mnist-convnet:conv=unfold", GREY_DIGITS, 29_066),
        ("varres-net", GREY_DIGITS, 23_946),
        ("varres-net:width=64,pooling=max", GREY_DIGITS, 23_946),
        ("varres-net:width=81", GREY_DIGITS, 29_029),
        ("varres-net:width=82", GREY_DIGITS, 29_328),
        ("varres-plus", GREY_DIGITS, 27_666),
    ],
)
def test_a_model_has_as_many_parameters_as_the_contract_says_with_a_dataset_or_by_default(
    spec: str, known: dict[str, Any], count: int, filled_in: bool
) -> None:
    assert num_parameters(spec, known if filled_in else {}) == count


@pytest.mark.parametrize(
    ("spec", "count"),
    [
        ("conv-linear", 3 * (2 + 1) + 9 * 4 * (17 * 12 + 1)),
        ("linear", 3 * 9 * 4 * (2 * 17 * 12 + 1)),
        ("conv-shrink", 3 * (2 * 9 + 1) + 3 * (3 * (3 * 9 + 1))),
        ("conv-shrink:kernel=5", 3 * (2 * 25 + 1) + 3 * (3 * 25 + 1)),
        ("transform-net", 2 * 3),
        ("mlp-bottleneck:hidden=11", 11 * (2 * 17 * 12 + 1) + 3 * 9 * 4 * (11 + 1)),
        ("conv4:width=5", 5 * (16 * 2 + 1) + 2 * 5 * (16 * 5 + 1) + 3 * (16 * 5 + 1)),
        ("separable", 3 * 2 + 9 * 17 + 4 * 12),
        ("separable:band=5", 3 * 2 + 9 * 5 + 4 * 5),
        ("mnist-convnet", 16 * (9 * 2 + 1) + 23_136 + 7 * (64 * 2 * 1 + 1)),
        ("varres-net:width=13,pooling=avg", 16 * (9 * 2 + 1) + 4_640 + 13 * 289 + 7 * (13 + 1)),
        ("varres-plus:widths=[4,5],pools=1", 9 * (2 * 4 + 4 * 5) + 2 * (4 + 5) + 7 * (5 + 1)),
    ],
)
def test_the_number_of_parameters_follows_the_formula_for_other_sizes(spec: str, count: int) -> None:
    assert num_parameters(spec, OTHER) == count
