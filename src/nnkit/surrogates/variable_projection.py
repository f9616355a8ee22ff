"""Variable projection: channel weights and one linear layer over the pixels, fitted together."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from nnkit.surrogates.least_squares import RIDGE, in_chunks, mean_of, solve_ridge

TOLERANCE = 1e-10
MAX_ITERATIONS = 30
NUM_VALUES = 64
ENERGY = 1e-6


@dataclass(frozen=True, eq=False)
class MixedLinear:
    """out_o = L (w_o · x + β_o) + b, float64.

    `channels` w (O, C), `channel_bias` β (O,), `weight` L (m, n), `bias` b (m,). The largest sum of absolute
    values over a row of L is 1; the rest of the scale is in w.
    """

    channels: Tensor
    channel_bias: Tensor
    weight: Tensor
    bias: Tensor
    iterations: int
    residual: float = 0.0
    """Root of the squared error over that of the targets less their means: 0 for an exact fit."""


@dataclass(frozen=True, eq=False)
class _Products:
    """Sums over the images, less their means, of Σ x_c x_dᵀ (C, C, n, n) and of Σ y_o x_cᵀ (O, C, m, n)."""

    gram: Tensor
    cross: Tensor
    power: float = 1.0
    """Σ |y|²."""


def fit_mixed_linear(inputs: Tensor, targets: Tensor, *, ridge: float = RIDGE) -> MixedLinear:
    """The mix of channels and the linear layer of the least squared error.

    `inputs` x (N, C, n) and `targets` y (N, O, m), pixels flattened. Given w the best L is a ridge regression
    on z = w · x. Given L the best w is one too, but to alternate takes some fifty rounds: the channels of
    photographs are so alike that L makes up for a wrong w. So w takes the steps of Gauss and Newton on the
    error that is left when L has done its best (variable projection, Golub and Pereyra, 1973, simplified by
    Kaufman, 1975). A change δ of w changes the outputs by Σ_c δ_oc L x_c, of which L can itself make all that
    is linear in z. With Π the regression on z, δ solves

        H δ = r,    H = ⟨L x_c, L x_d⟩ - ⟨Π L x_c, Π L x_d⟩,    r = ⟨y - L z, L x_c⟩

    and near the end the number of right digits doubles with each step. δ along w would only scale, and is
    barred. All sums are functions of Σ x xᵀ and Σ y xᵀ, which are added up once.
    """
    means = mean_of(inputs), mean_of(targets)
    products = _products(inputs, targets, *means)
    w = torch.full((targets.shape[1], inputs.shape[1]), 1 / inputs.shape[1], dtype=torch.float64)
    few = _Products(products.gram, products.cross[:, :, _informative(products.cross)])
    iterations, change = 0, w
    while float(change.norm()) > TOLERANCE and iterations < MAX_ITERATIONS:
        change = _channel_step(few, w, ridge)
        w, iterations = (w + change) / (w + change).norm(), iterations + 1
    weight = _best_weight(products, w, ridge)
    residual = _residual(products, w, weight)
    scale = float(weight.abs().sum(1).max()) or 1.0
    w, weight = w * scale, weight / scale
    channel_bias, bias = _biases(w, weight, *means)
    return MixedLinear(w, channel_bias, weight, bias, iterations, residual)


def _informative(cross: Tensor) -> Tensor:
    """Indices of a subset of the target values, which determines the channel weights at a tenth of the cost.

    Constant values, such as those of a border, carry no information and are left out.
    """
    energy = cross.square().sum((0, 1, 3))
    places = (energy > ENERGY * energy.max()).nonzero()[:, 0]
    return places[:: max(1, len(places) // NUM_VALUES)]


def _residual(products: _Products, w: Tensor, weight: Tensor) -> float:
    gram, cross = torch.tensordot(w.T @ w, products.gram, 2), torch.tensordot(w, products.cross, 2)
    error = products.power - 2 * float((weight * cross).sum()) + float(((weight @ gram) * weight).sum())
    return math.sqrt(max(0.0, error / (products.power or 1.0)))


def _products(inputs: Tensor, targets: Tensor, input_mean: Tensor, target_mean: Tensor) -> _Products:
    (channels, pixels), (outputs, values) = input_mean.shape, target_mean.shape
    gram = torch.zeros(channels, channels, pixels, pixels, dtype=torch.float64)
    cross = torch.zeros(outputs, channels, values, pixels, dtype=torch.float64)
    power = 0.0
    for some, wanted in in_chunks(inputs, targets):
        x = (some.double() - input_mean).transpose(0, 1).contiguous()
        y = (wanted.double() - target_mean).transpose(0, 1).contiguous()
        power += float(y.square().sum())
        for c in range(channels):
            for d in range(c + 1):
                gram[c, d].addmm_(x[c].T, x[d])
            for o in range(outputs):
                cross[o, c].addmm_(y[o].T, x[c])
    for c in range(channels):
        for d in range(c):
            gram[d, c] = gram[c, d].T
    return _Products(gram, cross, power)


def _best_weight(products: _Products, w: Tensor, ridge: float) -> Tensor:
    """L for given w: the ridge regression of y on z."""
    gram = torch.tensordot(w.T @ w, products.gram, 2)
    return solve_ridge(gram, torch.tensordot(w, products.cross, 2), ridge=ridge)


def _channel_step(products: _Products, w: Tensor, ridge: float) -> Tensor:
    """The step δ (O, C) of Gauss and Newton from w, of length 1 or so."""
    weight = _best_weight(products, w, ridge)
    of_z = torch.einsum("od,cdij->ocij", w, products.gram)  # Σ x_c z_oᵀ
    gram = torch.einsum("oc,ocij->ij", w, of_z)
    gram.diagonal().add_(ridge * (float(gram.diagonal().mean()) or 1.0))
    factor = torch.linalg.cholesky(gram)
    seen = torch.linalg.solve_triangular(factor, (weight @ of_z).mT, upper=False).flatten(2).flatten(0, 1)
    plain = torch.tensordot(products.gram, weight.T @ weight, 2)
    hessian = torch.kron(torch.eye(len(w), dtype=w.dtype), plain) - seen @ seen.T
    gradient = torch.tensordot(products.cross, weight, 2) - w @ plain
    along = w.flatten()[:, None] / w.norm()
    hessian = hessian + float(plain.trace()) * along @ along.T
    # A pseudo-inverse: channels that are all alike, as of grey images, leave their share open.
    step: Tensor = torch.linalg.pinv(hessian, hermitian=True, rtol=1e-12) @ gradient.flatten()
    return step.view_as(w)


def _biases(w: Tensor, weight: Tensor, input_mean: Tensor, target_mean: Tensor) -> tuple[Tensor, Tensor]:
    """β and b nearest to the offsets of each target channel: offset_o = b + β_o L 1, with β of mean 0."""
    offsets = target_mean - w @ input_mean @ weight.T
    bias, direction = offsets.mean(0), weight.sum(1)
    length = float(direction.square().sum()) or 1.0
    return (offsets - bias) @ direction / length, bias
