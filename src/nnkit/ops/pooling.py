"""Pooling each channel over the whole image, whatever its size."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from nnkit.ops.checks import check_dims

Kind = Literal["max", "amax", "avg"]


def global_pool(inputs: Tensor, kind: Kind = "max") -> Tensor:
    """Pool `inputs` (b, c, h, w) over their pixels to (b, c), a batch of one and of none included.

    - "max":  y = x_n at the first pixel n where x is largest; dL/dx_n = dL/dy there, 0 elsewhere
    - "amax": the same y; where several pixels share the largest value, they share dL/dy in equal parts
    - "avg":  y = Σ x / (h · w); dL/dx = dL/dy / (h · w) everywhere

    The report pools and then drops every axis of length one by `squeeze`, the batch too when it holds a
    single image; here the two axes of pixels go, and no other.
    """
    check_dims("inputs", inputs, "b, c, h, w")
    pixels = inputs.flatten(2)
    if pixels.shape[2] == 0:
        raise ValueError(f"expected inputs with at least one pixel, but got shape {tuple(inputs.shape)}")
    if kind == "max":
        return pixels.max(dim=2).values
    if kind == "amax":
        return pixels.amax(dim=2)
    if kind == "avg":
        return pixels.mean(dim=2)
    raise ValueError(f'expected kind to be "max", "amax" or "avg", but got kind={kind!r}')
