"""Unfold, which lays the patches of an image out as columns, and fold, which adds them back in place.

Unfold copies pixels and fold adds them up where they came from; each is the other's gradient.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from nnkit.ops.checks import IntOrPair, as_pair, check_dims
from nnkit.ops.sizes import conv_output_size

Pair = tuple[int, int]


class Grid(NamedTuple):
    """Where the patches of an image lie: the arguments as (rows, columns), and how many patches there are."""

    kernel_size: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    output_size: Pair

    @classmethod
    def of(
        cls,
        size: IntOrPair,
        kernel_size: IntOrPair,
        stride: IntOrPair,
        padding: IntOrPair,
        dilation: IntOrPair,
    ) -> Grid:
        """The grid over an image of `size` (h, w); the arguments are checked."""
        output_size = conv_output_size(size, kernel_size, stride=stride, padding=padding, dilation=dilation)
        return cls(
            as_pair("kernel_size", kernel_size, minimum=1),
            as_pair("stride", stride, minimum=1),
            as_pair("padding", padding, minimum=0),
            as_pair("dilation", dilation, minimum=1),
            output_size,
        )


class Unfold(Function):
    """U (b, k, p) from X (b, c, h, w): the k = c · hk · wk values of each of the p = h' · w' patches.

    A pixel is copied to every patch that covers it, so its gradient is the sum over those copies:
    dL/dX = fold(dL/dU).
    """

    @staticmethod
    def forward(
        inputs: Tensor,
        kernel_size: IntOrPair,
        stride: IntOrPair = 1,
        padding: IntOrPair = 0,
        dilation: IntOrPair = 1,
    ) -> Tensor:
        """View the padded image as patches through its strides, then copy once."""
        check_dims("inputs", inputs, "b, c, h, w")
        grid = Grid.of(_size(inputs), kernel_size, stride, padding, dilation)
        (hk, wk), (height, width) = grid.kernel_size, grid.output_size
        rows, columns = grid.padding
        padded = F.pad(inputs, (columns, columns, rows, rows)) if rows or columns else inputs
        b, c = inputs.shape[:2]
        # Neighbours in a patch lie `dilation` rows or columns apart, neighbouring patches `stride` apart.
        of_image, of_channel, of_row, of_column = padded.stride()
        patches = padded.as_strided(
            (b, c, hk, wk, height, width),
            (
                of_image,
                of_channel,
                of_row * grid.dilation[0],
                of_column * grid.dilation[1],
                of_row * grid.stride[0],
                of_column * grid.stride[1],
            ),
        )
        # The one pass over memory: U is hk · wk / stride² times as large as X.
        copied = inputs.new_empty(b, c * hk * wk, height * width)
        copied.view(b, c, hk, wk, height, width).copy_(patches)
        return copied

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep the size of the image: the gradient depends on no pixel."""
        ctx.size = _size(inputs[0])
        ctx.where = inputs[1:]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """dL/dX from dL/dU."""
        return Fold.apply(grad, ctx.size, *ctx.where), None, None, None, None


class Fold(Function):
    """X (b, c, h, w) from U (b, k, p): each pixel is the sum of the values that patches hold for it.

    A value of a patch goes to one pixel, so its gradient is that pixel's, copied: dL/dU = unfold(dL/dX).
    """

    @staticmethod
    def forward(
        patches: Tensor,
        size: IntOrPair,
        kernel_size: IntOrPair,
        stride: IntOrPair = 1,
        padding: IntOrPair = 0,
        dilation: IntOrPair = 1,
    ) -> Tensor:
        """Add, for each of the hk · wk places in a patch, the values of all patches at once.

        Patches overlap, but at one place of theirs no two of them meet in a pixel.
        """
        check_dims("patches", patches, "b, k, p")
        grid = Grid.of(size, kernel_size, stride, padding, dilation)
        (h, w), (hk, wk), (height, width) = (
            as_pair("size", size, minimum=1),
            grid.kernel_size,
            grid.output_size,
        )
        b, k, p = patches.shape
        if k % (hk * wk) or p != height * width:
            raise ValueError(
                f"expected patches (b, k, p) with k a multiple of {hk * wk}, for a kernel of {hk}×{wk}, "
                f"and p = {height * width}, for an output of {height}×{width}, "
                f"but got shape {tuple(patches.shape)}"
            )
        c = k // (hk * wk)
        rows, columns = grid.padding
        padded = patches.new_zeros(b, c, h + 2 * rows, w + 2 * columns)
        values = patches.reshape(b, c, hk, wk, height, width)
        for u in range(hk):
            for v in range(wk):
                padded[:, :, _places(u, height, 0, grid), _places(v, width, 1, grid)] += values[:, :, u, v]
        return padded[:, :, rows : rows + h, columns : columns + w].clone() if rows or columns else padded

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep where the patches lie: the gradient depends on no value."""
        ctx.where = inputs[2:]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """dL/dU from dL/dX."""
        return Unfold.apply(grad, *ctx.where), None, None, None, None, None


def unfold(
    inputs: Tensor,
    kernel_size: IntOrPair,
    *,
    stride: IntOrPair = 1,
    padding: IntOrPair = 0,
    dilation: IntOrPair = 1,
) -> Tensor:
    """The patches of `inputs` (b, c, h, w) as columns (b, k, p), in `naive_unfold`'s order; see `Unfold`."""
    patches: Tensor = Unfold.apply(inputs, kernel_size, stride, padding, dilation)
    return patches


def fold(
    patches: Tensor,
    size: IntOrPair,
    kernel_size: IntOrPair,
    *,
    stride: IntOrPair = 1,
    padding: IntOrPair = 0,
    dilation: IntOrPair = 1,
) -> Tensor:
    """The image (b, c, h, w) of `size` (h, w) with `patches` (b, k, p) added where they lie; see `Fold`.

    Not the inverse of `unfold`: a pixel covered by n patches comes back n times as large.
    """
    image: Tensor = Fold.apply(patches, size, kernel_size, stride, padding, dilation)
    return image


def _size(inputs: Tensor) -> Pair:
    return inputs.shape[2], inputs.shape[3]


def _places(offset: int, count: int, axis: int, grid: Grid) -> slice:
    """The padded image's rows (axis 0) or columns (axis 1) where place `offset` of `count` patches falls."""
    first = offset * grid.dilation[axis]
    return slice(first, first + grid.stride[axis] * (count - 1) + 1, grid.stride[axis])
