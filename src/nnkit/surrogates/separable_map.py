"""The map out = A · (w · x) · Bᵀ on a batch: channel weights, one matrix for the rows, one for the columns.

One formula in several implementations; which one is fastest depends on the backend. docs/benchmarks.md has
their speeds, and those of implementations that were slower.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

MAX_TAPS = 6
"""Bands up to this wide are summed tap by tap when compiled; wider ones are cheaper as a matrix product."""


def separable_map(
    images: Tensor, channels: Tensor, rows: Tensor, cols: Tensor, *, row_columns: Tensor | None = None
) -> Tensor:
    """A · (w · x) · Bᵀ: images (B, C, h, w), `channels` w (C', C), `rows` A (h', h), `cols` B (w', w).

    The result is (B, C', h', w'). With `row_columns` (h', k), `rows` is a band: (h', k) entries of A, in
    these columns, 0 elsewhere. Images of type uint8 are taken as value / 255.
    """
    if images.dtype == torch.uint8:
        channels = channels / 255  # three weights divided, not every pixel
    mixed = mix(images, channels)
    if row_columns is None:
        return times_transposed(_left_product(rows, mixed), cols)
    if torch.compiler.is_compiling() and rows.shape[1] <= MAX_TAPS:
        return times_transposed(_taps(mixed, rows, row_columns), cols)
    return times_transposed(_left_product(widened(rows, row_columns, images.shape[2]), mixed), cols)


def mix(images: Tensor, channels: Tensor) -> Tensor:
    """w · x: channels (B, C, h, w) mixed to (B, C', h, w)."""
    if torch.compiler.is_compiling():
        # A sum, which a compiler fuses with what follows: the mixed images are never written.
        return _add(images[:, None, c] * channels[:, c, None, None] for c in range(images.shape[1]))
    batch, _, height, width = images.shape
    mixed = torch.bmm(channels.expand(batch, -1, -1), images.flatten(2).to(channels.dtype))
    return mixed.view(batch, len(channels), height, width)


def _left_product(rows: Tensor, mixed: Tensor) -> Tensor:
    """A · mixed for each image and channel."""
    # Not `rows @ mixed`: where `rows` is a parameter that copies the images to fold them into one product.
    flat = mixed.flatten(0, 1)
    product = torch.bmm(rows.expand(flat.shape[0], -1, -1), flat)
    return product.view(*mixed.shape[:2], *product.shape[1:])


def _taps(mixed: Tensor, values: Tensor, columns: Tensor) -> Tensor:
    """A · mixed for a band: each row of the result is a sum of k rows."""
    return _add(mixed[:, :, columns[:, k]] * values[:, k, None] for k in range(values.shape[1]))


def _add(parts: Iterable[Tensor]) -> Tensor:
    return functools.reduce(torch.add, parts)


def times_transposed(left: Tensor, cols: Tensor) -> Tensor:
    """left · Bᵀ for (B, C', h', w) and (w', w).

    On a CPU as a 1×1 convolution over the columns: channels last, that is the same memory, and oneDNN is
    faster than the BLAS library at so narrow a product. Elsewhere as the product: a GPU's convolutions
    round to TF32.
    """
    if left.device.type != "cpu" or torch.compiler.is_exporting() or left.dtype != torch.float32:
        return left @ cols.T
    product: Tensor = _as_convolution(left, cols)
    return product


@torch.compiler.disable  # type: ignore[untyped-decorator,unused-ignore]
def _as_convolution(left: Tensor, cols: Tensor) -> Tensor:
    # Outside of compiled graphs: within, torch 2.15 lays the numbers out anew and takes twice the time.
    batch, channels, height, width = left.shape
    columns_as_channels = left.reshape(batch * channels, height, 1, width).permute(0, 3, 1, 2)
    kernel = cols[:, :, None, None].contiguous(memory_format=torch.channels_last)
    product: Tensor = F.conv2d(columns_as_channels, kernel)
    return product.permute(0, 2, 3, 1).reshape(batch, channels, height, len(cols))


def widened(values: Tensor, columns: Tensor, num_columns: int) -> Tensor:
    """The matrix (m, num_columns) with `values` (m, k) in `columns` (m, k) and 0 elsewhere."""
    return values.new_zeros(len(values), num_columns).scatter(1, columns, values)


def narrowed(matrix: Tensor, most: int) -> tuple[Tensor, Tensor | None]:
    """A matrix (m, n) whose rows have their entries in at most `most` neighbouring columns, as a band.

    The values (m, k) and their columns (m, k), k as small as can be; any other matrix as it is, and None.
    """
    places = torch.arange(matrix.shape[1])
    first = torch.where(matrix != 0, places, matrix.shape[1]).amin(1)
    last = torch.where(matrix != 0, places, -1).amax(1)
    width = max(1, int((last - first).max()) + 1)
    if width > min(most, matrix.shape[1]):
        return matrix, None
    columns = first.clamp(max=matrix.shape[1] - width)[:, None] + torch.arange(width)
    return matrix.gather(1, columns), columns
