"""The fits without gradients against the same equations solved by numpy.linalg.lstsq."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from nnkit.surrogates.alternating import Separated, fit_separable
from nnkit.surrogates.least_squares import fit_linear, solve_ridge
from nnkit.surrogates.variable_projection import MixedLinear, fit_mixed_linear

Array = NDArray[np.float64]


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def ridge_by_rows(z: Array, y: Array, ridge: float, columns: Array | None = None) -> Array:
    """W (m, n) of the least |W z - y|² + λ |W|², z (n, N), y (m, N): the penalty as n more data points.

    λ is `ridge` times the mean of the squared lengths of z's rows. Row i is 0 but in its `columns`.
    """
    strength = np.sqrt(ridge * np.mean(np.square(z).sum(1)))
    found = np.zeros((len(y), len(z)))
    for i, wanted in enumerate(y):
        own = np.arange(len(z)) if columns is None else columns[i]
        design = np.concatenate([z[own].T, strength * np.eye(len(own))])
        found[i, own] = np.linalg.lstsq(design, np.concatenate([wanted, np.zeros(len(own))]))[0]
    return found


@pytest.mark.parametrize("ridge", [1e-12, 0.1, 2.0])
@pytest.mark.parametrize("columns", [None, [[0, 1, 2], [3, 1, 4]]])
def test_ridge_regression_has_the_penalty_as_a_share_of_the_mean_square(
    ridge: float, columns: list[list[int]] | None
) -> None:
    z, y = drawn(0, 5, 40), drawn(1, 2, 40)
    at = None if columns is None else torch.tensor(columns)
    found = solve_ridge(z @ z.T, y @ z.T, ridge=ridge, columns=at)
    expected = ridge_by_rows(z.numpy(), y.numpy(), ridge, None if at is None else at.numpy())
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("num", [30, 1025])
@pytest.mark.parametrize("ridge", [None, 0.1])
def test_a_linear_layer_is_a_ridge_regression_on_centred_values_whose_bias_is_free(
    num: int, ridge: float | None
) -> None:
    x, y = drawn(0, num, 4) + 3, drawn(1, num, 2) - 5
    weight, bias = fit_linear(x, y) if ridge is None else fit_linear(x, y, ridge=ridge)
    assert weight.dtype == bias.dtype == torch.float64
    centred = (x - x.mean(0)).T.numpy(), (y - y.mean(0)).T.numpy()
    np.testing.assert_allclose(weight.numpy(), ridge_by_rows(*centred, ridge or 1e-10), rtol=0, atol=1e-11)
    torch.testing.assert_close(x.mean(0) @ weight.T + bias, y.mean(0), rtol=0, atol=1e-12)


def test_float32_images_are_summed_in_float64() -> None:
    x = (drawn(0, 600, 3) * 1e-3 + 1).float()
    weight, bias = fit_linear(x, x[:, :1] - 2 * x[:, 1:2] + 7)
    expected, offset = fit_linear(x.double(), (x[:, :1] - 2 * x[:, 1:2] + 7).double())
    torch.testing.assert_close(weight, expected, rtol=0, atol=0)
    torch.testing.assert_close(bias, offset, rtol=0, atol=0)


def rounds(
    images: Tensor,
    targets: Tensor,
    ridge: float,
    start: tuple[Array, Array, Array] | None = None,
    columns: tuple[Array | None, Array | None] = (None, None),
) -> tuple[Array, Array, Array, int]:
    """w, A, B and the number of rounds of alternating least squares, as `fit_separable` describes them."""
    x, y = images.numpy(), targets.numpy()
    num_outputs, (num_channels, height, width) = y.shape[1], x.shape[1:]
    w = np.full((num_outputs, num_channels), 1 / num_channels)
    a, b = np.full((y.shape[2], height), 1 / height), np.full((y.shape[3], width), 1 / width)
    w, a, b = (w, a, b) if start is None else start
    num_rounds, moved = 0, np.inf
    while moved > 1e-8 and num_rounds < 200:
        num_rounds, before = num_rounds + 1, (w, a, b)
        pairs = [(np.tensordot(w[o], image, 1), target[o]) for image, target in zip(x, y, strict=True)
                 for o in range(num_outputs)]  # fmt: skip
        z = np.concatenate([mixed @ b.T for mixed, _ in pairs], axis=1)
        a = ridge_by_rows(z, np.concatenate([wanted for _, wanted in pairs], axis=1), ridge, columns[0])
        a = a / np.abs(a).sum(1).max()
        t = np.concatenate([(a @ mixed).T for mixed, _ in pairs], axis=1)
        b = ridge_by_rows(t, np.concatenate([wanted.T for _, wanted in pairs], axis=1), ridge, columns[1])
        b = b / np.abs(b).sum(1).max()
        m = np.stack([(a @ x[:, c] @ b.T).ravel() for c in range(num_channels)])
        w = ridge_by_rows(m, np.stack([y[:, o].ravel() for o in range(num_outputs)]), ridge)
        moved = max(
            np.abs(new - old).max() / np.abs(new).max() for new, old in zip((w, a, b), before, strict=True)
        )
    return w, a, b, num_rounds


@pytest.mark.parametrize("num_outputs", [1, 2])
@pytest.mark.parametrize("ridge", [None, 0.01])
def test_a_separable_map_is_fitted_factor_by_factor_until_none_moves(
    num_outputs: int, ridge: float | None
) -> None:
    images, noise = drawn(0, 20, 3, 4, 5) + 1, drawn(1, 20, num_outputs, 3, 2)
    targets = images[:, :num_outputs, 1:, 2:4] - images[:, 1 : 1 + num_outputs, :3, :2] + 0.1 * noise
    found = fit_separable(images, targets) if ridge is None else fit_separable(images, targets, ridge=ridge)
    *expected, num_rounds = rounds(images, targets, ridge or 1e-12)
    for own, wanted in zip((found.channels, found.rows, found.cols), expected, strict=True):
        np.testing.assert_allclose(own.numpy(), wanted, rtol=0, atol=1e-9)
    assert found.iterations == num_rounds
    again = fit_separable(images, targets, ridge=ridge or 1e-12, start=found)
    assert again.iterations == 1


def test_a_fit_within_a_band_goes_on_from_its_start() -> None:
    images, targets = drawn(0, 20, 2, 4, 5) + 1, drawn(1, 20, 1, 3, 2)
    rows, cols = torch.tensor([[0, 1], [1, 2], [2, 3]]), torch.tensor([[0, 1, 2], [2, 3, 4]])
    parts = drawn(2, 1, 2), drawn(3, 3, 4), drawn(4, 2, 5)
    found = fit_separable(
        images, targets, start=Separated(*parts), row_columns=rows, col_columns=cols, ridge=0.01
    )
    start, columns = tuple(part.numpy() for part in parts), (rows.numpy(), cols.numpy())
    *expected, num_rounds = rounds(images, targets, 0.01, start, columns)  # type: ignore[arg-type]
    for own, wanted in zip((found.channels, found.rows, found.cols), expected, strict=True):
        np.testing.assert_allclose(own.numpy(), wanted, rtol=0, atol=1e-8)
    assert found.iterations == num_rounds


def mixed(found: MixedLinear, inputs: Tensor) -> Tensor:
    return torch.einsum("oc,ncp->nop", found.channels, inputs)


@pytest.mark.parametrize("num_outputs", [1, 3])
@pytest.mark.parametrize("ridge", [None, 0.01])
def test_given_its_colours_the_layer_is_the_ridge_regression_on_the_mixed_images(
    num_outputs: int, ridge: float | None
) -> None:
    inputs, targets = drawn(0, 60, 3, 6) + 2, drawn(1, 60, num_outputs, 4) + drawn(2, num_outputs, 1) - 1
    given = {} if ridge is None else {"ridge": ridge}
    found = fit_mixed_linear(inputs, targets, **given)
    z, y = mixed(found, inputs - inputs.mean(0)), targets - targets.mean(0)
    expected = ridge_by_rows(z.flatten(0, 1).T.numpy(), y.flatten(0, 1).T.numpy(), ridge or 1e-10)
    np.testing.assert_allclose(found.weight.numpy(), expected, rtol=0, atol=1e-9)
    assert float(found.weight.abs().sum(1).max()) == pytest.approx(1)


@pytest.mark.parametrize("num_outputs", [1, 3])
def test_the_biases_are_the_best_for_the_means(num_outputs: int) -> None:
    inputs, targets = drawn(0, 60, 3, 6) + 2, drawn(1, 60, num_outputs, 4) + drawn(2, num_outputs, 1) - 1
    found = fit_mixed_linear(inputs, targets)
    # What is left of the means is what b + β_o L 1 can be: one vector for all, and L 1 times a number each.
    wanted = targets.mean(0) - mixed(found, inputs.mean(0)[None])[0] @ found.weight.T
    shared = torch.eye(4, dtype=torch.float64).repeat(num_outputs, 1)
    own = torch.block_diag(*[found.weight.sum(1)[:, None]] * num_outputs)
    design = torch.cat([shared, own], dim=1).numpy()
    best = design @ np.linalg.lstsq(design, wanted.flatten().numpy())[0]
    made = found.bias + found.channel_bias[:, None] * found.weight.sum(1)
    np.testing.assert_allclose(made.flatten().numpy(), best, rtol=0, atol=1e-10)
    assert float(found.channel_bias.mean()) == pytest.approx(0, abs=1e-12)


def test_no_small_change_of_the_colours_leaves_a_smaller_error() -> None:
    inputs, targets = drawn(0, 200, 3, 5) + 2, drawn(1, 200, 2, 4)
    targets = targets + drawn(3, 2, 3) @ inputs @ drawn(4, 5, 4)
    found = fit_mixed_linear(inputs, targets)

    def left(channels: Tensor) -> float:
        z = torch.einsum("oc,ncp->nop", channels, inputs - inputs.mean(0)).flatten(0, 1).numpy()
        y = (targets - targets.mean(0)).flatten(0, 1).numpy()
        return float(np.square(z @ np.linalg.lstsq(z, y)[0] - y).sum())

    # At the least error the slope is 0 in every direction.
    for place in range(6):
        step = torch.zeros(6, dtype=torch.float64)
        step[place] = 1e-4
        slope = (left(found.channels + step.view(2, 3)) - left(found.channels - step.view(2, 3))) / 2e-4
        assert abs(slope) < 1e-4 * left(found.channels)
    assert found.iterations < 30


def test_colours_that_are_right_from_the_start_take_one_step() -> None:
    inputs = drawn(0, 60, 3, 6)
    found = fit_mixed_linear(inputs, inputs.mean(1, keepdim=True) @ drawn(1, 6, 4))
    assert found.iterations == 1


def test_channels_that_are_all_alike_keep_equal_shares() -> None:
    grey = (drawn(0, 40, 1, 6) + 100).expand(-1, 3, -1)
    shares = fit_mixed_linear(grey, drawn(1, 40, 1, 4)).channels
    torch.testing.assert_close(
        shares / shares.mean(), torch.ones(1, 3, dtype=torch.float64), rtol=0, atol=1e-6
    )
