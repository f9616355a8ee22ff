from __future__ import annotations

import pytest
import torch

from nnkit.surrogates import band as bands


def test_before_any_fit_the_band_follows_the_diagonal_of_a_resize() -> None:
    columns = bands.along_diagonal(28, 32, 3)
    assert columns[0].tolist() == [0, 1, 2]
    assert columns[27].tolist() == [29, 30, 31]
    assert (columns.diff(dim=1) == 1).all()
    assert bands.along_diagonal(2, 5, 5).tolist() == [[0, 1, 2, 3, 4]] * 2


@pytest.mark.parametrize(("rows", "columns", "band"), [(28, 32, 3), (32, 28, 4), (5, 40, 1), (7, 9, 5)])
def test_a_row_of_the_band_lies_about_the_point_that_a_resize_takes_it_from(
    rows: int, columns: int, band: int
) -> None:
    for row, own in enumerate(bands.along_diagonal(rows, columns, band).tolist()):
        # In pixels whose centres lie at halves: the middle of the row, and that of the band.
        middle = (row + 0.5) * columns / rows
        assert own == list(range(own[0], own[0] + band))
        within = band / 2 <= middle <= columns - band / 2
        assert not within or abs(own[0] + band / 2 - middle) <= 0.5
        assert own[0] >= 0
        assert own[-1] < columns


def test_the_band_stands_where_the_most_energy_is() -> None:
    matrix = torch.tensor([[0.0, 0.1, -3.0, 1.0], [2.0, 0.0, 0.0, 1.9], [0.0, 0.0, 0.0, 0.0]])
    assert bands.of_most_energy(matrix, 2).tolist() == [[2, 3], [0, 1], [0, 1]]


def test_a_widened_matrix_has_its_values_in_their_columns_and_zeros_elsewhere() -> None:
    values, columns = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1, 2], [0, 1]])
    assert bands.widened(values, columns, 4).tolist() == [[0, 1, 2, 0], [3, 4, 0, 0]]


def test_what_is_dropped_is_told_as_a_share_of_the_energy_and_the_largest_entry() -> None:
    matrix, columns = torch.tensor([[3.0, 4.0, -1.0], [0.0, 0.0, 0.0]]), torch.tensor([[0, 1], [0, 1]])
    facts = bands.what_is_dropped(2, [(matrix, columns)])
    assert facts["dropped"] == {"energy_share": pytest.approx(1 / 26), "largest": 1.0}
    assert "band=2" in facts["notes"][0]
    zeros = torch.zeros(2, 3)
    assert bands.what_is_dropped(2, [(zeros, columns)])["dropped"] == {"energy_share": 0.0, "largest": 0.0}
