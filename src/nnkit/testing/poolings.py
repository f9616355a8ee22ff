"""Checks for poolings: (B, C, H, W) to (B, F)."""

from __future__ import annotations

import inspect

import torch
from torch import Tensor, nn

from nnkit.testing import common
from nnkit.testing.subject import Skipped, Subject, assert_close, assert_finite

SHAPES = ((1, 1, 1, 1), (1, 3, 4, 4), (5, 8, 5, 7))
"""One image and several, one channel and several, a single pixel, and images that are not square."""


def _features(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def num_features(pooling: nn.Module, num_channels: int) -> int:
    """How many features the pooling says it makes of so many channels."""
    count = getattr(pooling, "num_features", None)
    if count is None:
        return num_channels
    assert callable(count), (
        "num_features is no method: write def num_features(self, num_channels: int) -> int"
    )
    answer = count(num_channels)
    assert isinstance(answer, int), f"num_features({num_channels}) gives {answer!r}, no whole number"
    assert answer > 0, f"num_features({num_channels}) gives {answer}"
    return answer


def gives_the_declared_shape(subject: Subject) -> None:
    """(B, C, H, W) gives (B, F), with F from `num_features(C)`, else C."""
    pooling = common.made_with(subject).eval()
    for shape in SHAPES:
        expected = (shape[0], num_features(pooling, shape[1]))
        given = tuple(pooling(_features(shape)).shape)
        assert given == expected, f"the shape {shape} gives {given}, not {expected}"


def forward_and_backward_are_finite(subject: Subject) -> None:
    """For random features, for zeros (what ReLU leaves) and for ones; gradients reach the features."""
    for shape in SHAPES:
        for what, value in {
            "random": _features(shape),
            "zeros": torch.zeros(shape),
            "ones": torch.ones(shape),
        }.items():
            pooling = common.made_with(subject).train()
            features = value.clone().requires_grad_()
            output = pooling(features)
            assert_finite(output, f"the output for {what} of shape {shape}")
            output.sum().backward()
            assert features.grad is not None, "no gradient reaches the features"
            assert_finite(features.grad, f"the gradient for {what} of shape {shape}")
            for name, parameter in pooling.named_parameters():
                if parameter.requires_grad:
                    assert parameter.grad is not None, f"the parameter {name} gets no gradient"
                    assert_finite(parameter.grad, f"the gradient of {name} for {what} of shape {shape}")


def leaves_out_what_the_mask_does(subject: Subject) -> None:
    """Where `forward` takes a mask, pixels outside it do not count, whatever they hold."""
    pooling = common.made_with(subject).eval()
    if "mask" not in inspect.signature(pooling.forward).parameters:
        raise Skipped("its forward takes no mask: it pools batches of one size only")
    image = _features((2, 3, 4, 6)) - 10
    mask = torch.zeros(2, 1, 6, 9, dtype=torch.bool)
    mask[:, :, :4, :6] = True
    for fill in (99.0, float("nan"), float("inf")):
        padded = torch.full((2, 3, 6, 9), fill)
        padded[:, :, :4, :6] = image
        with torch.no_grad():
            assert_close(pooling(padded, mask), pooling(image), f"{fill} outside the mask changes the output")


def is_deterministic_by_seed(subject: Subject) -> None:
    """One seed, one pooling, one output."""
    common.check_same_seed(subject, _features((3, 4, 5, 6)))


def saves_and_loads(subject: Subject) -> None:
    """Its state dict is all of it."""
    common.check_save_and_load(subject, _features((3, 4, 5, 6)))


def survives_spawn(subject: Subject) -> None:
    """It pickles to a worker process."""
    common.check_spawn(subject, _features((2, 4, 5, 6)))


def leaves_its_input_alone(subject: Subject) -> None:
    """It writes into no input."""
    common.check_inputs_unchanged(subject, _features((2, 4, 5, 6)))
