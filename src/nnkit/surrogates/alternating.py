"""Alternating least squares: the factors of out = A · (w · x) · Bᵀ, each in turn by linear regression."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nnkit.surrogates.least_squares import solve_ridge

RIDGE = 1e-12
TOLERANCE = 1e-8
MAX_ITERATIONS = 200
PLATEAU_ROUNDS, PLATEAU = 50, 0.01
"""An error that fell by less than this share in the last rounds has reached its end."""


@dataclass(frozen=True, eq=False)
class Separated:
    """w `channels` (O, C), A `rows` (h', h) and B `cols` (w', w) of out = A · (w · x) · Bᵀ, float64.

    The scale, which the product leaves open, is that of an analysed pipeline: the largest sum of absolute
    values over a row is 1 in `rows` and in `cols`, the rest is in `channels`.
    """

    channels: Tensor
    rows: Tensor
    cols: Tensor
    iterations: int = 0
    residual: float = 0.0
    """Root of the squared error over that of the targets: 0 for an exact fit, 1 for one of no use."""
    converged: bool = True
    """False where the error was still falling after the last round: then the factors mean little."""


def fit_separable(
    images: Tensor,
    targets: Tensor,
    *,
    ridge: float = RIDGE,
    start: Separated | None = None,
    row_columns: Tensor | None = None,
    col_columns: Tensor | None = None,
) -> Separated:
    """The factors that bring `images` (N, C, h, w) nearest to `targets` (N, O, h', w') in squared error.

    The error is cubic in the unknowns, but given two of the factors, linear in the third:

        given w, B:  Z_no = (w_o · x_n) Bᵀ    A Z_no ≈ Y_no           A Σ Z Zᵀ = Σ Y Zᵀ
        given w, A:  T_no = A (w_o · x_n)     B T_noᵀ ≈ Y_noᵀ         B Σ Tᵀ T = Σ Yᵀ T
        given A, B:  M_nc = A x_nc Bᵀ         Σ_c w_oc M_nc ≈ Y_no    w Σ ⟨M, M⟩ = Σ ⟨Y, M⟩

    with sums over images n and target channels o, and a ridge as in `solve_ridge`. No step raises the error.
    It starts at the mean of the channels and of each row of pixels (or at `start`), and ends when no factor
    changes by more than 1e-8 of its largest entry, or after 200 rounds: then it converged if the error fell
    by less than 1 % in the last 50. With `row_columns`, int64 (h', k), row i of A is zero but in those
    columns; `col_columns` (w', k) is the same for B.
    """
    width = images.shape[3]
    # Channel and row first, so that every sum below is one matrix product without a copy.
    x = images.double().permute(1, 2, 0, 3).contiguous()
    y = targets.double().permute(1, 2, 0, 3).contiguous()
    flat_y = y.flatten(0, 2)
    w, a, b = _start(images, targets) if start is None else (start.channels, start.rows, start.cols)
    power = float(y.square().sum()) or 1.0
    residuals: list[float] = []
    iterations, settled = 0, False
    while not settled and iterations < MAX_ITERATIONS:
        iterations, before = iterations + 1, (w, a, b)
        mixed = torch.tensordot(w, x, 1)
        z = (mixed @ b.T).flatten(2)
        gram, cross = (z @ z.mT).sum(0), (y.flatten(2) @ z.mT).sum(0)
        a = _unit(solve_ridge(gram, cross, ridge=ridge, columns=row_columns))
        t = (a @ mixed.flatten(2)).reshape(-1, width)
        b = _unit(solve_ridge(t.T @ t, flat_y.T @ t, ridge=ridge, columns=col_columns))
        m = ((a @ x.flatten(2)).reshape(-1, width) @ b.T).view(len(x), -1)
        products = y.flatten(1) @ m.T
        w = solve_ridge(m @ m.T, products, ridge=ridge)
        residuals.append(max(0.0, 1 - float((w * products).sum()) / power) ** 0.5)
        settled = all(_settled(new, old) for new, old in zip((w, a, b), before, strict=True))
    return Separated(w, a, b, iterations, residuals[-1], settled or _is_flat(residuals))


def _is_flat(residuals: list[float]) -> bool:
    before = residuals[-PLATEAU_ROUNDS - 1]
    return before - residuals[-1] <= PLATEAU * before


def _start(images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    channels, height, width = images.shape[1:]
    outputs, target_height, target_width = targets.shape[1:]
    shapes = ((outputs, channels), (target_height, height), (target_width, width))
    w, a, b = (torch.full(shape, 1 / shape[1], dtype=torch.float64) for shape in shapes)
    return w, a, b


def _unit(matrix: Tensor) -> Tensor:
    largest = matrix.abs().sum(1).max()
    return matrix / largest if largest > 0 else matrix


def _settled(new: Tensor, old: Tensor) -> bool:
    return bool((new - old).abs().max() <= TOLERANCE * new.abs().max())
