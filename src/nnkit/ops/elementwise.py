"""Functions that treat each element alone: division, and any other given with its derivative."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.autograd import Function

from nnkit.ops.checks import check_tensor

ElementFunction = Callable[[Tensor], Tensor]


class Divide(Function):
    """S = X / Y, element by element; X, Y and S of one shape.

    S_ij depends on X_ij and Y_ij alone, with ∂S_ij/∂X_ij = 1 / Y_ij and ∂S_ij/∂Y_ij = -X_ij / Y_ij², so

        dL/dX =  dL/dS / Y
        dL/dY = -dL/dS · X / Y²

    The report gives the second without its minus sign in one line and with it in another; the sign is right.
    """

    @staticmethod
    def forward(x: Tensor, y: Tensor) -> Tensor:
        """Divide; `ValueError` where the shapes differ."""
        check_tensor("x", x)
        check_tensor("y", y)
        if x.shape != y.shape:
            raise ValueError(
                f"expected x and y of one shape, but got x {tuple(x.shape)} and y {tuple(y.shape)}"
            )
        return x / y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        """Keep X and Y."""
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        """dL/dX and dL/dY from dL/dS."""
        x, y = ctx.saved_tensors
        return grad / y, -grad * x / y**2


class Elementwise(Function):
    """Y = f(X), element by element, for any f given with its derivative f'.

    Y_ij depends on X_ij alone, so the chain rule has one term: dL/dX = dL/dY · f'(X).
    """

    @staticmethod
    def forward(inputs: Tensor, function: ElementFunction, derivative: ElementFunction) -> Tensor:
        """Apply `function`; `ValueError` where it changes the shape."""
        check_tensor("inputs", inputs)
        outputs = function(inputs)
        if outputs.shape != inputs.shape:
            raise ValueError(
                f"expected function to keep the shape {tuple(inputs.shape)} of inputs, "
                f"but got shape {tuple(outputs.shape)}"
            )
        # torch refuses to save an input that is also the output, as it is where `function` is the identity.
        return outputs.clone() if outputs is inputs else outputs

    @staticmethod
    def setup_context(
        ctx: Any, inputs: tuple[Tensor, ElementFunction, ElementFunction], output: Tensor
    ) -> None:
        """Keep X and f'."""
        ctx.save_for_backward(inputs[0])
        ctx.derivative = inputs[2]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """dL/dX from dL/dY."""
        (inputs,) = ctx.saved_tensors
        return grad * ctx.derivative(inputs), None, None


def divide(x: Tensor, y: Tensor) -> Tensor:
    """X / Y, element by element, for X and Y of one shape; see `Divide`."""
    quotient: Tensor = Divide.apply(x, y)
    return quotient


def elementwise(inputs: Tensor, function: ElementFunction, derivative: ElementFunction) -> Tensor:
    """`function` of each element of `inputs`, with `derivative` for the gradient; see `Elementwise`.

    Both take a tensor and return one of its shape. A second gradient is taken through `derivative`, which
    must then be made of differentiable operations.
    """
    outputs: Tensor = Elementwise.apply(inputs, function, derivative)
    return outputs
