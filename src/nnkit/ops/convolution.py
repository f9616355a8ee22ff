"""Convolution as a product of matrices, with its gradients by hand, and the module that trains with it."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from nnkit.ops.checks import IntOrPair, as_pair, check_conv, check_dims, check_dtypes, check_int
from nnkit.ops.patches import fold, unfold
from nnkit.ops.sizes import conv_output_size


class Conv2dFunction(Function):
    """Y (b, o, h', w') from X (b, c, h, w) and a kernel K (o, c, hk, wk), by unfold and a product per image.

    With W (o, k) the kernel's rows, k = c · hk · wk, and U (b, k, p) the patches, p = h' · w':

        U = unfold(X)      Y_b = W U_b, (o, p), read as (o, h', w')

    Y_b is a matrix product, so with dL/dY_b read as (o, p) again

        dL/dW   = Σ_b dL/dY_b U_bᵀ      (o, k), read as (o, c, hk, wk)
        dL/dU_b = Wᵀ dL/dY_b            (k, p)
        dL/dX   = fold(dL/dU)           as a pixel's gradient is the sum over the patches that hold it
    """

    @staticmethod
    def forward(
        inputs: Tensor,
        kernel: Tensor,
        stride: IntOrPair = 1,
        padding: IntOrPair = 0,
        dilation: IntOrPair = 1,
    ) -> Tensor:
        """Unfold and multiply."""
        check_conv(inputs, kernel)
        hk, wk = kernel.shape[2:]
        where = {"stride": stride, "padding": padding, "dilation": dilation}
        height, width = conv_output_size(tuple(inputs.shape[2:]), (hk, wk), **where)
        products = _matrices(kernel, inputs) @ unfold(inputs, (hk, wk), **where)
        # The copy is the price of `relu_` and the like: torch forbids them on a view made in here.
        return products.reshape(-1, kernel.shape[0], height, width).clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep X and K: the patches would take hk · wk times the memory, and are soon made anew."""
        ctx.save_for_backward(*inputs[:2])
        ctx.where = dict(zip(("stride", "padding", "dilation"), inputs[2:], strict=False))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """dL/dX and dL/dK from dL/dY, each only where it is asked for."""
        inputs, kernel = ctx.saved_tensors
        hk, wk = kernel.shape[2:]
        grad_outputs = grad.flatten(2)
        grad_inputs = grad_kernel = None
        if ctx.needs_input_grad[0]:
            grad_patches = _matrices(kernel, inputs).mT @ grad_outputs
            grad_inputs = fold(grad_patches, tuple(inputs.shape[2:]), (hk, wk), **ctx.where)
        if ctx.needs_input_grad[1]:
            patches = unfold(inputs, (hk, wk), **ctx.where)
            grad_kernel = (grad_outputs @ patches.mT).sum(dim=0).view_as(kernel)
        return grad_inputs, grad_kernel, None, None, None


def _matrices(kernel: Tensor, inputs: Tensor) -> Tensor:
    """The kernel as W (o, k), once for each image: (b, o, k), without a copy.

    Without the axis b, `@` would copy the patches to make one large product of them, at twice the time.
    """
    return kernel.flatten(1).expand(inputs.shape[0], -1, -1)


def conv2d(
    inputs: Tensor,
    kernel: Tensor,
    bias: Tensor | None = None,
    *,
    stride: IntOrPair = 1,
    padding: IntOrPair = 0,
    dilation: IntOrPair = 1,
) -> Tensor:
    """Convolve `inputs` (b, c, h, w) with `kernel` (o, c, hk, wk) to (b, o, h', w'), and add `bias` (o,).

    `stride`, `padding` (zeros) and `dilation` are integers or (rows, columns). Under `torch.autocast` it
    computes in autocast's dtype, as torch's own does. See `Conv2dFunction`.
    """
    device = inputs.device.type
    # Asking whether autocast is on raises for a device that has none, such as meta.
    autocast = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    if autocast and inputs.dtype != torch.float64:
        # Cast here, not inside: autocast is off in backward, where the saved tensors must agree with dL/dY.
        dtype = torch.get_autocast_dtype(device)
        inputs, kernel = inputs.to(dtype), kernel.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    outputs: Tensor = Conv2dFunction.apply(inputs, kernel, stride, padding, dilation)
    if bias is None:
        return outputs
    check_dims("bias", bias, "o")
    if len(bias) != len(kernel):
        raise ValueError(
            f"expected bias of {len(kernel)} values, one per output channel of kernel {tuple(kernel.shape)}, "
            f"but got {len(bias)}"
        )
    check_dtypes(bias=bias, kernel=kernel)
    return outputs + bias[:, None, None]


class Conv2d(nn.Module):
    """A convolution to train with, in place of `torch.nn.Conv2d`: same names, shapes and start from one seed.

    `weight` is (out_channels, in_channels, hk, wk), `bias` (out_channels,) or None. Both are parameters, so
    that `parameters()` hands them to the optimizer: the report's module holds its kernel as a plain tensor,
    which optimizers and `to(device)` do not find.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrPair,
        *,
        stride: IntOrPair = 1,
        padding: IntOrPair = 0,
        dilation: IntOrPair = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.in_channels = check_int("in_channels", in_channels, minimum=1)
        self.out_channels = check_int("out_channels", out_channels, minimum=1)
        self.kernel_size = as_pair("kernel_size", kernel_size, minimum=1)
        self.stride = as_pair("stride", stride, minimum=1)
        self.padding = as_pair("padding", padding, minimum=0)
        self.dilation = as_pair("dilation", dilation, minimum=1)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, *self.kernel_size))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights and bias as torch does, in its order: uniform within ±1 / sqrt(c · hk · wk)."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.weight[0].numel())
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, inputs: Tensor) -> Tensor:
        """Convolve (b, in_channels, h, w) to (b, out_channels, h', w')."""
        return conv2d(
            inputs, self.weight, self.bias, stride=self.stride, padding=self.padding, dilation=self.dilation
        )

    def extra_repr(self) -> str:
        """The settings, for `print(module)`."""
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}, dilation={self.dilation}, bias={self.bias is not None}"
        )
