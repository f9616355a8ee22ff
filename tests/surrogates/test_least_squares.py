from __future__ import annotations

import pytest
import torch

from nnkit.surrogates.least_squares import fit_linear, solve_ridge


def test_a_small_ridge_gives_what_numpys_least_squares_gives() -> None:
    torch.manual_seed(0)
    z, y = torch.randn(5, 40, dtype=torch.float64), torch.randn(3, 40, dtype=torch.float64)
    found = solve_ridge(z @ z.T, y @ z.T, ridge=1e-14)
    torch.testing.assert_close(found, torch.linalg.lstsq(z.T, y.T).solution.T)


def test_a_ridge_is_a_share_of_the_mean_of_the_diagonal() -> None:
    gram, cross = torch.eye(2, dtype=torch.float64) * 4, torch.tensor([[4.0, 8.0]], dtype=torch.float64)
    assert solve_ridge(gram, cross, ridge=1.0)[0].tolist() == pytest.approx([0.5, 1.0])


def test_a_direction_without_data_gets_no_weight() -> None:
    gram = torch.tensor([[2.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    found = solve_ridge(gram, torch.tensor([[6.0, 0.0]], dtype=torch.float64), ridge=1e-10)
    torch.testing.assert_close(found, torch.tensor([[3.0, 0.0]], dtype=torch.float64))
    nothing = torch.zeros(2, 2, dtype=torch.float64)
    assert solve_ridge(nothing, nothing, ridge=1e-10).tolist() == [[0, 0], [0, 0]]


def test_rows_limited_to_columns_are_the_best_among_those() -> None:
    torch.manual_seed(0)
    z, y = torch.randn(4, 30, dtype=torch.float64), torch.randn(2, 30, dtype=torch.float64)
    columns = torch.tensor([[0, 1], [2, 3]])
    found = solve_ridge(z @ z.T, y @ z.T, ridge=1e-14, columns=columns)
    for row, own in enumerate(columns):
        expected = torch.linalg.lstsq(z[own].T, y[row][:, None]).solution[:, 0]
        torch.testing.assert_close(found[row, own], expected)
    assert found[0, 2:].tolist() == [0, 0]
    assert found[1, :2].tolist() == [0, 0]


@pytest.mark.parametrize("num", [30, 1100])
def test_a_linear_layer_with_its_bias_is_found_again_from_what_it_makes(num: int) -> None:
    torch.manual_seed(0)
    weight, bias, inputs = torch.randn(4, 6), torch.randn(4), torch.rand(num, 6)
    found = fit_linear(inputs, inputs @ weight.T + bias)
    torch.testing.assert_close(found[0].float(), weight, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[1].float(), bias, rtol=1e-5, atol=1e-5)
