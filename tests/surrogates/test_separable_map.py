from __future__ import annotations

import shutil

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from nnkit.surrogates.separable_map import MAX_TAPS, narrowed, separable_map, widened

SIDE = st.integers(1, 9)


def by_definition(images: Tensor, channels: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
    return torch.einsum("oc,ph,qw,bchw->bopq", channels, rows, cols, images)


def drawn(seed: int, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=60, deadline=None)
@given(
    batch=st.integers(0, 3),
    channels=st.integers(1, 5),
    made=st.integers(1, 3),
    h=SIDE,
    w=SIDE,
    p=SIDE,
    q=SIDE,
)
def test_it_is_the_sum_that_it_says(
    batch: int, channels: int, made: int, h: int, w: int, p: int, q: int
) -> None:
    images, mixing = drawn(0, batch, channels, h, w), drawn(1, made, channels)
    rows, cols = drawn(2, p, h), drawn(3, q, w)
    found = separable_map(images, mixing, rows, cols)
    torch.testing.assert_close(found, by_definition(images, mixing, rows, cols), rtol=1e-4, atol=1e-4)
    assert found.is_contiguous()


@settings(max_examples=40, deadline=None)
@given(h=st.integers(3, 9), p=SIDE, k=st.integers(1, 3), seed=st.integers(0, 99))
def test_a_band_is_the_matrix_with_its_entries(h: int, p: int, k: int, seed: int) -> None:
    starts = torch.randint(0, h - k + 1, (p, 1), generator=torch.Generator().manual_seed(seed))
    columns, values = starts + torch.arange(k), drawn(seed, p, k)
    images, mixing, cols = drawn(1, 2, 3, h, 4), drawn(2, 1, 3), drawn(3, 5, 4)
    found = separable_map(images, mixing, values, cols, row_columns=columns)
    whole = separable_map(images, mixing, widened(values, columns, h), cols)
    torch.testing.assert_close(found, whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("state", ["is_compiling", "is_exporting"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batch=st.integers(1, 3),
    channels=st.integers(1, 4),
    made=st.integers(1, 3),
    h=st.integers(7, 9),
    band=st.none() | st.integers(1, 7),
)
def test_the_forms_for_compilers_are_the_same_sum(
    monkeypatch: pytest.MonkeyPatch,
    state: str,
    batch: int,
    channels: int,
    made: int,
    h: int,
    band: int | None,
) -> None:
    """Their formulas without a compiler: what torch.compile makes of them is another test's."""
    images, mixing, cols = drawn(0, batch, channels, h, 4), drawn(1, made, channels), drawn(3, 6, 4)
    rows, columns = drawn(2, 5, h), None
    values = rows
    if band is not None:
        columns = torch.tensor([[0], [h - band], [min(1, h - band)], [0], [0]]) + torch.arange(band)
        values = drawn(2, 5, band)
        rows = torch.zeros(5, h)
        for row in range(5):
            rows[row, columns[row]] = values[row]
    with monkeypatch.context() as patch:
        patch.setattr(torch.compiler, state, lambda: True)
        found = separable_map(images, mixing, values, cols, row_columns=columns)
    expected = by_definition(images, mixing, rows, cols)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert found.shape == (batch, made, 5, 6)


def test_gradients_reach_every_part_in_double_precision() -> None:
    parts = [
        drawn(n, *shape, dtype=torch.float64)
        for n, shape in enumerate([(2, 2, 4, 3), (1, 2), (3, 4), (2, 3)])
    ]
    for part in parts:
        part.requires_grad_()
    assert torch.autograd.gradcheck(separable_map, parts)


@pytest.mark.parametrize("banded", [False, True])
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles for the CPU with g++")
def test_compiled_and_eager_agree(banded: bool) -> None:
    images, mixing, cols = torch.rand(5, 3, 8, 6), drawn(1, 1, 3), drawn(2, 4, 6)
    columns = torch.arange(6)[:, None] + torch.arange(3)
    rows = drawn(3, 6, 3) if banded else drawn(3, 6, 8)
    own = columns if banded else None
    compiled = torch.compile(separable_map, dynamic=False)
    found = compiled(images, mixing, rows, cols, row_columns=own)
    torch.testing.assert_close(found, separable_map(images, mixing, rows, cols, row_columns=own))


@settings(max_examples=60, deadline=None)
@given(m=SIDE, n=st.integers(1, 12), k=st.integers(1, 12), seed=st.integers(0, 99))
def test_a_narrow_matrix_becomes_the_narrowest_band_and_back(m: int, n: int, k: int, seed: int) -> None:
    k = min(k, n)
    starts = torch.randint(0, n - k + 1, (m, 1), generator=torch.Generator().manual_seed(seed))
    matrix = widened(drawn(seed, m, k) + 10, starts + torch.arange(k), n)
    values, columns = narrowed(matrix, MAX_TAPS)
    if k > MAX_TAPS:
        assert columns is None
        assert values is matrix
    else:
        assert columns is not None
        assert values.shape == (m, k)
        assert torch.equal(widened(values, columns, n), matrix)


def test_a_matrix_of_zeros_is_a_band_of_one() -> None:
    values, columns = narrowed(torch.zeros(3, 5), MAX_TAPS)
    assert columns is not None
    assert values.shape == (3, 1)
    assert torch.equal(widened(values, columns, 5), torch.zeros(3, 5))


def test_levels_stand_for_level_by_255() -> None:
    levels = torch.randint(
        0, 256, (4, 3, 8, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    mixing, rows, cols = drawn(1, 1, 3), drawn(2, 5, 8), drawn(3, 4, 6)
    expected = separable_map(levels.float() / 255, mixing, rows, cols)
    torch.testing.assert_close(separable_map(levels, mixing, rows, cols), expected, rtol=1e-5, atol=1e-5)
