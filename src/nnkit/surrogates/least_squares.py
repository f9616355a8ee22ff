"""Least squares: ridge regression from sums of products, and a linear layer fitted by it."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

RIDGE = 1e-10
"""Above the rounding of float64 for some thousand unknowns, and too small to show in an image."""
CHUNK_ROWS = 512


def solve_ridge(gram: Tensor, cross: Tensor, *, ridge: float, columns: Tensor | None = None) -> Tensor:
    """The W (m, n) of the least |W Z - Y|² + λ |W|², from gram = Z Zᵀ (n, n) and cross = Y Zᵀ (m, n).

    The gradient by W is 2 (W Z - Y) Zᵀ + 2 λ W; where it is zero,

        W (Z Zᵀ + λ I) = Y Zᵀ.

    λ is `ridge`, above 0, times the mean of gram's diagonal: images without a direction, as smooth ones lack
    the finest, leave W small there instead of arbitrary. With `columns`, int64 (m, k), row i of W is zero but
    in its k columns, and solves the same equation among those. Float64; raises `torch.linalg.LinAlgError`
    where rounding makes the left side indefinite, as for a ridge of 0.
    """
    strength = ridge * (float(gram.diagonal().mean()) or 1.0)
    if columns is None:
        damped = gram + strength * torch.eye(len(gram), dtype=gram.dtype)
        return torch.cholesky_solve(cross.T, torch.linalg.cholesky(damped)).T
    among = gram[columns[:, :, None], columns[:, None, :]]
    damped = among + strength * torch.eye(columns.shape[1], dtype=gram.dtype)
    values = torch.linalg.solve(damped, cross.gather(1, columns)[:, :, None])[:, :, 0]
    return torch.zeros_like(cross).scatter(1, columns, values)


def fit_linear(inputs: Tensor, targets: Tensor, *, ridge: float = RIDGE) -> tuple[Tensor, Tensor]:
    """Weight W (m, n) and bias b (m,), float64, of the least |X Wᵀ + b - Y|² + λ |W|².

    X = `inputs` (N, n), Y = `targets` (N, m). Where the gradient by b is zero, b = mean(Y) - W mean(X); so W
    solves the problem without b on what is left of X and Y less their means. `ridge`: see `solve_ridge`.
    """
    input_mean, target_mean = mean_of(inputs), mean_of(targets)
    gram = torch.zeros(inputs.shape[1], inputs.shape[1], dtype=torch.float64)
    cross = torch.zeros(targets.shape[1], inputs.shape[1], dtype=torch.float64)
    for some, wanted in in_chunks(inputs, targets):
        # Float64: float32's rounding is larger than the smallest directions of photographs.
        some = some.double() - input_mean
        gram.addmm_(some.T, some)
        cross.addmm_((wanted.double() - target_mean).T, some)
    weight = solve_ridge(gram, cross, ridge=ridge)
    return weight, target_mean - weight @ input_mean


def in_chunks(inputs: Tensor, targets: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Both by some hundred rows, so that what is made of them in float64 stays small."""
    return zip(torch.split(inputs, CHUNK_ROWS), torch.split(targets, CHUNK_ROWS), strict=True)


def mean_of(values: Tensor) -> Tensor:
    """The mean over the first axis, in float64."""
    return values.mean(0, dtype=torch.float64)
