import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck

from nnkit.ops import matrix_product

lengths = st.integers(0, 4)


@settings(deadline=None, max_examples=25)
@given(o=lengths, p=lengths, k=lengths, seed=st.integers(0, 1000))
def test_the_product_and_its_gradients_are_those_of_a_linear_layer(o, p, k, seed):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(o, k, generator=generator, dtype=torch.float64, requires_grad=True)
    inputs = torch.randn(p, k, generator=generator, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(matrix_product(weight, inputs), F.linear(inputs, weight).T, rtol=0, atol=1e-10)
    assert gradcheck(matrix_product, (weight, inputs))
    assert gradgradcheck(matrix_product, (weight, inputs))


def test_only_the_gradients_asked_for_are_computed():
    weight, inputs = torch.ones(2, 3, requires_grad=True), torch.ones(4, 3)
    matrix_product(weight, inputs).sum().backward()
    assert weight.grad.tolist() == [[4.0] * 3] * 2
    assert inputs.grad is None


def test_rows_of_two_lengths_are_refused_with_both_shapes():
    with pytest.raises(ValueError, match=r"weight \(2, 3\) and inputs \(4, 5\)"):
        matrix_product(torch.ones(2, 3), torch.ones(4, 5))


def test_a_vector_is_refused():
    with pytest.raises(ValueError, match=r"expected inputs of shape \(p, k\), but got shape \(3,\)"):
        matrix_product(torch.ones(2, 3), torch.ones(3))


def test_two_dtypes_are_refused():
    with pytest.raises(TypeError, match=r"weight torch.float32 and inputs torch.float64"):
        matrix_product(torch.ones(2, 3), torch.ones(4, 3, dtype=torch.float64))
