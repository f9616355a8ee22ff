"""Convolution and unfold as nested loops: slow, and plain enough to be checked by eye.

Made of differentiable operations, so that torch derives the gradients that other modules derive by hand.
The batch is the one axis without a loop, as images never meet: each value below holds all b images'.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nnkit.ops.checks import IntOrPair, as_pair, check_conv, check_dims
from nnkit.ops.sizes import conv_output_size


def naive_conv2d(
    inputs: Tensor,
    kernel: Tensor,
    *,
    stride: IntOrPair = 1,
    padding: IntOrPair = 0,
    dilation: IntOrPair = 1,
) -> Tensor:
    """Convolve `inputs` (b, c, h, w) with `kernel` (o, c, hk, wk) to (b, o, h', w').

    For output channel m at row i, column j, with x the input within its border of zeros:

        y[m, i, j] = Σ_c Σ_u Σ_v kernel[m, c, u, v] · x[c, row, column]
        row = i · stride + u · dilation,  column = j · stride + v · dilation

    h' and w' are `conv_output_size`'s; the report's width formula lacks its + 1.
    """
    check_conv(inputs, kernel)
    num_outputs, num_channels, hk, wk = kernel.shape
    height, width = conv_output_size(
        tuple(inputs.shape[2:]), (hk, wk), stride=stride, padding=padding, dilation=dilation
    )
    (row_stride, column_stride), (row_step, column_step) = _steps(stride, dilation)
    padded = _pad(inputs, padding)

    values = []
    for m in range(num_outputs):
        for i in range(height):
            for j in range(width):
                value = torch.zeros_like(padded[:, 0, 0, 0])
                for c in range(num_channels):
                    for u in range(hk):
                        for v in range(wk):
                            row = i * row_stride + u * row_step
                            column = j * column_stride + v * column_step
                            value = value + kernel[m, c, u, v] * padded[:, c, row, column]
                values.append(value)
    return torch.stack(values, dim=1).reshape(-1, num_outputs, height, width)


def naive_unfold(
    inputs: Tensor,
    kernel_size: IntOrPair,
    *,
    stride: IntOrPair = 1,
    padding: IntOrPair = 0,
    dilation: IntOrPair = 1,
) -> Tensor:
    """Lay the patches of `inputs` (b, c, h, w) out as columns (b, k, p), k = c · hk · wk and p = h' · w'.

    Patches are numbered along the rows of the output: patch n is at output row i = n // w' and column
    j = n % w', with w' the output's width, and begins at row i · stride, column j · stride of the padded
    image. The report has `j = row % (w - wk + 1)`, its row being n: that divides by w' only at stride 1
    without padding. For a 5×5 image, a 3×3 kernel and stride 2, w' is 2 and the report divides by 3.
    """
    check_dims("inputs", inputs, "b, c, h, w")
    hk, wk = as_pair("kernel_size", kernel_size, minimum=1)
    height, width = conv_output_size(
        tuple(inputs.shape[2:]), (hk, wk), stride=stride, padding=padding, dilation=dilation
    )
    (row_stride, column_stride), (row_step, column_step) = _steps(stride, dilation)
    padded = _pad(inputs, padding)

    values = []
    for c in range(inputs.shape[1]):
        for u in range(hk):
            for v in range(wk):
                for n in range(height * width):
                    i, j = n // width, n % width
                    row = i * row_stride + u * row_step
                    column = j * column_stride + v * column_step
                    values.append(padded[:, c, row, column])
    return torch.stack(values, dim=1).reshape(-1, inputs.shape[1] * hk * wk, height * width)


def _steps(stride: IntOrPair, dilation: IntOrPair) -> tuple[tuple[int, int], tuple[int, int]]:
    return as_pair("stride", stride, minimum=1), as_pair("dilation", dilation, minimum=1)


def _pad(inputs: Tensor, padding: IntOrPair) -> Tensor:
    rows, columns = as_pair("padding", padding, minimum=0)
    return F.pad(inputs, (columns, columns, rows, rows))
