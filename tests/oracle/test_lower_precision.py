"""In fp32 and bf16 nnkit follows the oracle that computes in them: forward in bf16, all else in fp32."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from oracle.components import SmallNet
from oracle.following import check_epochs, check_steps, default_dtype, follow
from oracle.loop import Options

FP32_CLOSE = 2e-5
"""Some dozen steps of float32: rounding of 6e-8 a step, which Adam's division makes larger."""
BF16_CLOSE = 2e-6
"""The same: where the forward pass is rounded to bf16, it is rounded to the same values."""


@pytest.mark.parametrize(
    "x",
    [
        Options(),
        Options("sgd", {"momentum": 0.9, "nesterov": True}, lr=0.1, schedule="one-cycle"),
        Options("adamw", {"weight_decay": 0.3}, clip=0.1, label_smoothing=0.1, ema=0.5),
        Options(augment="report"),
    ],
    ids=str,
)
def test_float32_follows_the_oracle_in_float32(oracle_components: Path, x: Options) -> None:
    with default_dtype(torch.float32):
        found = follow(oracle_components, x, SmallNet)
        check_steps(found, x, close=FP32_CLOSE)
        check_epochs(found, x, SmallNet(num_classes=40), close=FP32_CLOSE)
    assert {call.output_dtype for call in found.seen.calls} == {torch.float32}


@pytest.mark.parametrize(
    "x", [Options(precision="bf16"), Options("sgd", lr=0.1, precision="bf16", ema=0.5)], ids=str
)
def test_bf16_computes_the_forward_pass_in_bf16_and_the_rest_in_float32(
    oracle_components: Path, x: Options
) -> None:
    found = follow(oracle_components, x, SmallNet, channels_last=True)
    check_steps(found, x, close=BF16_CLOSE)
    check_epochs(found, x, SmallNet(num_classes=40), close=BF16_CLOSE)
    judged = [call for call in found.seen.calls if call.target is not None]
    assert {call.output_dtype for call in judged} == {torch.bfloat16}, "training, validation and test"
    assert {call.loss_dtype for call in judged} == {torch.float32}
    assert {w.dtype for call in judged for w in call.weights.values()} == {torch.float32}


def test_bf16_is_far_from_float32(oracle_components: Path) -> None:
    """What the tolerance of the test above must tell apart."""
    plain = follow(oracle_components, Options(), SmallNet)
    rounded = follow(oracle_components, Options(precision="bf16"), SmallNet, channels_last=True)
    apart = [abs(a - b) for a, b in zip(plain.oracle.losses, rounded.oracle.losses, strict=True)]
    assert max(apart) > 10 * BF16_CLOSE * max(plain.oracle.losses)
