import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck

from nnkit.ops import broadcast_columns


@settings(deadline=None, max_examples=20)
@given(length=st.integers(0, 4), num_columns=st.integers(0, 4))
def test_every_column_is_the_vector_and_the_gradient_sums_them(length, num_columns):
    vector = torch.randn(length, dtype=torch.float64, requires_grad=True)
    assert torch.equal(broadcast_columns(vector, num_columns), vector[:, None].expand(length, num_columns))
    assert gradcheck(broadcast_columns, (vector, num_columns))
    assert gradgradcheck(broadcast_columns, (vector, num_columns))


def test_sixteen_columns_bring_the_gradient_back_sixteen_times():
    vector = torch.tensor([1.0, 2.0], requires_grad=True)
    broadcast_columns(vector, 16).sum().backward()
    assert vector.grad.tolist() == [16.0, 16.0]


def test_writing_to_the_columns_leaves_the_vector():
    vector = torch.ones(2)
    broadcast_columns(vector, 1).zero_()
    assert vector.tolist() == [1.0, 1.0]


def test_a_matrix_is_refused():
    with pytest.raises(ValueError, match=r"expected vector of shape \(o\), but got shape \(2, 2\)"):
        broadcast_columns(torch.ones(2, 2), 3)


def test_a_negative_count_is_refused():
    with pytest.raises(ValueError, match="expected num_columns to be at least 0, but got num_columns=-1"):
        broadcast_columns(torch.ones(2), -1)


def test_a_count_that_is_no_integer_is_a_type_error():
    with pytest.raises(TypeError, match=r"expected num_columns to be an integer, but got num_columns=2\.0"):
        broadcast_columns(torch.ones(2), 2.0)
