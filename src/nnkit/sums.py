"""What sums over a split are made of, on the device of its batches: a metric asks for them at the end."""

from __future__ import annotations

import torch
from torch import Tensor

from nnkit.errors import UsageError


def sum_type(device: torch.device) -> torch.dtype:
    """The type to add up many values in: float64, but float32 on mps, which has no other."""
    return torch.float32 if device.type == "mps" else torch.float64


def count_pairs(counts: Tensor, output: Tensor, target: Tensor) -> None:
    """Add logits (B, K) against classes (B,) to a confusion matrix, int64 (K²,), row by true class."""
    pairs = target * output.shape[1] + output.argmax(dim=1)
    # Not bincount: on a GPU it waits for its own result.
    counts.index_add_(0, pairs, torch.ones_like(pairs))


def check_alike(output: Tensor, target: Tensor) -> None:
    """`UsageError` unless images and targets, (B, C, H, W), have one shape: else they would be broadcast."""
    if output.shape != target.shape:
        raise UsageError(f"outputs of {_shape(output)}, but targets of {_shape(target)}")


def difference(output: Tensor, target: Tensor) -> Tensor:
    """What images (B, C, H, W) are off from targets of the same shape, in the type to add it up in."""
    check_alike(output, target)
    return (output - target).to(sum_type(output.device))


def _shape(images: Tensor) -> str:
    return "×".join(map(str, images.shape[1:]))
