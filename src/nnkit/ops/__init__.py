"""Layers from first principles: convolution and its gradients, to read, to test against, to train with.

Shapes: b images in a batch, c channels, h × w pixels (rows × columns), o output channels, h' × w' output
pixels, hk × wk kernel; k = c · hk · wk values in a patch, p = h' · w' patches in an image. dL/dY is the
gradient of a scalar loss L with respect to Y. Every gradient is itself differentiable, to any order.

The derivations follow a published student report, called "the report" where its pseudo-code is corrected.
Read in this order: elementwise, product, columns, sizes, reference, patches, convolution, pooling.
"""

from nnkit.ops.columns import BroadcastColumns, broadcast_columns
from nnkit.ops.convolution import Conv2d, Conv2dFunction, conv2d
from nnkit.ops.elementwise import Divide, Elementwise, divide, elementwise
from nnkit.ops.patches import Fold, Unfold, fold, unfold
from nnkit.ops.pooling import global_pool
from nnkit.ops.product import MatrixProduct, matrix_product
from nnkit.ops.reference import naive_conv2d, naive_unfold
from nnkit.ops.sizes import conv_output_size

__all__ = [
    "BroadcastColumns",
    "Conv2d",
    "Conv2dFunction",
    "Divide",
    "Elementwise",
    "Fold",
    "MatrixProduct",
    "Unfold",
    "broadcast_columns",
    "conv2d",
    "conv_output_size",
    "divide",
    "elementwise",
    "fold",
    "global_pool",
    "matrix_product",
    "naive_conv2d",
    "naive_unfold",
    "unfold",
]
