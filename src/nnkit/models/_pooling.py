"""Checks and helpers for networks with a global pooling: number of features, mask."""

from __future__ import annotations

import inspect

from torch import Tensor, nn

from nnkit.errors import UsageError
from nnkit.types import Nested


def as_module(pooling: object) -> nn.Module:
    """The pooling, or `TypeError` for one that is not built."""
    if isinstance(pooling, Nested):
        raise TypeError(
            f'expected pooling to be a module, but got the spec "{pooling.spec}": '
            'pass a built pooling, or use nnkit.build("models", NAME), which builds it'
        )
    if not isinstance(pooling, nn.Module):
        raise TypeError(f"expected pooling to be a torch.nn.Module, but got {type(pooling).__name__}")
    return pooling


def num_features(pooling: nn.Module, num_channels: int) -> int:
    """How many features a pooling makes of so many channels: as many, unless it says otherwise."""
    count = getattr(pooling, "num_features", None)
    return int(count(num_channels)) if callable(count) else num_channels


def check_takes_mask(pooling: nn.Module) -> None:
    """`UsageError` for a pooling that cannot leave out the padding of a batch."""
    if "mask" not in inspect.signature(pooling.forward).parameters:
        raise UsageError(
            f"the pooling {type(pooling).__name__} takes no mask, so it cannot pool a padded batch",
            hint="Keep each size by itself (no tolerance, max_buckets or leftovers=merge), set "
            "resize_policy=resize, or use a pooling that takes a mask, such as max.",
        )


def halved(mask: Tensor) -> Tensor:
    """The mask, bool (B, 1, H, W), after a 2×2 max pool.

    A pooled cell is image if all four of its pixels are. Padding is at the bottom and right, so the
    lower right pixel says so.
    """
    return mask[:, :, 1::2, 1::2]
