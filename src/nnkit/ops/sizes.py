"""How large the output of a convolution is."""

from __future__ import annotations

from nnkit.ops.checks import IntOrPair, as_pair


def conv_output_size(
    size: IntOrPair,
    kernel_size: IntOrPair,
    *,
    stride: IntOrPair = 1,
    padding: IntOrPair = 0,
    dilation: IntOrPair = 1,
) -> tuple[int, int]:
    """Height and width of what a convolution makes of an image of `size` = (h, w).

    A kernel of hk rows, `dilation` apart, spans dilation · (hk - 1) + 1 rows. Its topmost place is row 0 of
    the padded image, its lowest is row h + 2 · padding - span, and it stops at every `stride`-th of these:

        h' = (h + 2 · padding - dilation · (hk - 1) - 1) // stride + 1,  and w' likewise

    The + 1 counts the first place, in both formulas: the report's formula for the width lacks it.
    Each argument is an integer, or (rows, columns). An input too small for the kernel is a `ValueError`.
    """
    sizes = as_pair("size", size, minimum=1)
    kernels = as_pair("kernel_size", kernel_size, minimum=1)
    strides = as_pair("stride", stride, minimum=1)
    paddings = as_pair("padding", padding, minimum=0)
    dilations = as_pair("dilation", dilation, minimum=1)
    spans = (dilations[0] * (kernels[0] - 1) + 1, dilations[1] * (kernels[1] - 1) + 1)
    padded = (sizes[0] + 2 * paddings[0], sizes[1] + 2 * paddings[1])
    if padded[0] < spans[0] or padded[1] < spans[1]:
        raise ValueError(
            f"expected an input at least as large as the kernel, but got size {_by(sizes)} "
            f"with padding {_by(paddings)}, {_by(padded)} in all, "
            f"for kernel_size {_by(kernels)} with dilation {_by(dilations)}, which spans {_by(spans)}"
        )
    return (padded[0] - spans[0]) // strides[0] + 1, (padded[1] - spans[1]) // strides[1] + 1


def _by(pair: tuple[int, int]) -> str:
    return f"{pair[0]}×{pair[1]}"
