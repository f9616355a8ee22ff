"""The product Y = W Xᵀ: a linear layer, and what a convolution does to the patches of an image."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.autograd import Function

from nnkit.ops.checks import check_dims, check_dtypes


class MatrixProduct(Function):
    """Y = W Xᵀ for weights W (o, k) and inputs X (p, k), one per row; Y is (o, p).

    Y_ij = Σ_n W_in X_jn. W_in meets every input j in row i of Y, and X_jn every output i in column j:

        dL/dW_in = Σ_j dL/dY_ij X_jn,  so  dL/dW = dL/dY X      (o, k)
        dL/dX_jn = Σ_i dL/dY_ij W_in,  so  dL/dX = dL/dYᵀ W     (p, k)
    """

    @staticmethod
    def forward(weight: Tensor, inputs: Tensor) -> Tensor:
        """Multiply; `ValueError` where rows of W and X differ in length."""
        check_dims("weight", weight, "o, k")
        check_dims("inputs", inputs, "p, k")
        if weight.shape[1] != inputs.shape[1]:
            raise ValueError(
                f"expected weight (o, k) and inputs (p, k) with one k, "
                f"but got weight {tuple(weight.shape)} and inputs {tuple(inputs.shape)}"
            )
        check_dtypes(weight=weight, inputs=inputs)
        return weight @ inputs.T

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        """Keep W and X."""
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """dL/dW and dL/dX from dL/dY."""
        weight, inputs = ctx.saved_tensors
        needs_weight, needs_inputs = ctx.needs_input_grad
        return grad @ inputs if needs_weight else None, grad.T @ weight if needs_inputs else None


def matrix_product(weight: Tensor, inputs: Tensor) -> Tensor:
    """W Xᵀ (o, p) for `weight` W (o, k) and `inputs` X (p, k); see `MatrixProduct`."""
    outputs: Tensor = MatrixProduct.apply(weight, inputs)
    return outputs
