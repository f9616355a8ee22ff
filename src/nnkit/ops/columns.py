"""A vector repeated in columns: how a bias reaches every patch."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.autograd import Function

from nnkit.ops.checks import check_dims, check_int


class BroadcastColumns(Function):
    """Y (o, p) holds the vector x (o,) in each of its p columns.

    Y_ij = x_i for every j, so x_i reaches the loss through the whole row i: dL/dx_i = Σ_j dL/dY_ij.
    """

    @staticmethod
    def forward(vector: Tensor, num_columns: int) -> Tensor:
        """Repeat the vector."""
        check_dims("vector", vector, "o")
        check_int("num_columns", num_columns, minimum=0)
        return vector[:, None].repeat(1, num_columns)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
        """Nothing to keep: the gradient depends on no value."""

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """dL/dx from dL/dY."""
        return grad.sum(dim=1), None


def broadcast_columns(vector: Tensor, num_columns: int) -> Tensor:
    """`vector` (o,) as each of `num_columns` columns (o, p); see `BroadcastColumns`."""
    columns: Tensor = BroadcastColumns.apply(vector, num_columns)
    return columns
