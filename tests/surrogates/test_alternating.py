from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nnkit.surrogates.alternating import Separated, fit_separable


def outputs(found: Separated, images: Tensor) -> Tensor:
    mixed = torch.einsum("oc,nchw->nohw", found.channels, images.double())
    return found.rows @ mixed @ found.cols.T


def random_factors(channels: tuple[int, int], rows: tuple[int, int], cols: tuple[int, int]) -> Separated:
    torch.manual_seed(0)
    w, a, b = (torch.randn(shape, dtype=torch.float64) for shape in (channels, rows, cols))
    return Separated(w, a / a.abs().sum(1).max(), b / b.abs().sum(1).max())


@pytest.mark.parametrize("channels", [(1, 3), (3, 3), (2, 1), (1, 1)])
def test_factors_of_any_shape_are_found_again_up_to_their_signs(channels: tuple[int, int]) -> None:
    true = random_factors(channels, (4, 6), (7, 5))
    images = torch.rand(60, channels[1], 6, 5)
    found = fit_separable(images, outputs(true, images))
    assert found.iterations < 200
    torch.testing.assert_close(outputs(found, images), outputs(true, images), rtol=1e-6, atol=1e-6)
    for own, expected in zip((found.channels, found.rows, found.cols), vars(true).values(), strict=False):
        torch.testing.assert_close(own.abs(), expected.abs(), rtol=1e-5, atol=1e-6)


def test_the_largest_row_of_each_matrix_adds_up_to_one() -> None:
    true = random_factors((1, 3), (4, 6), (7, 5))
    images = torch.rand(40, 3, 6, 5)
    found = fit_separable(images, 5 * outputs(true, images))
    for matrix in (found.rows, found.cols):
        assert float(matrix.abs().sum(1).max()) == pytest.approx(1)
    torch.testing.assert_close(found.channels.abs(), 5 * true.channels.abs(), rtol=1e-5, atol=1e-6)


def test_targets_that_are_not_separable_get_a_fit_that_no_small_change_makes_better() -> None:
    torch.manual_seed(1)
    images, targets = (
        torch.rand(50, 2, 5, 6, dtype=torch.float64),
        torch.rand(50, 1, 3, 4, dtype=torch.float64),
    )
    found = fit_separable(images, targets)
    best = float((outputs(found, images) - targets).square().sum())
    for part in ("channels", "rows", "cols"):
        change = 1e-3 * torch.randn(getattr(found, part).shape, dtype=torch.float64)
        for sign in (1, -1):
            moved = Separated(**{**vars(found), part: getattr(found, part) + sign * change})
            assert float((outputs(moved, images) - targets).square().sum()) > best


def test_black_images_give_zeros_and_no_error() -> None:
    black = torch.zeros(5, 3, 4, 4)
    found = fit_separable(black, torch.zeros(5, 1, 2, 2))
    assert outputs(found, black).abs().max() == 0
