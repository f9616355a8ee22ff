import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck

from nnkit.ops import divide, elementwise

shapes = st.lists(st.integers(0, 3), max_size=3).map(tuple)

FUNCTIONS = {
    "sin": (torch.sin, torch.cos),
    "square": (lambda x: x**2, lambda x: 2 * x),
    "sigmoid": (torch.sigmoid, lambda x: torch.sigmoid(x) * (1 - torch.sigmoid(x))),
    "tanh": (torch.tanh, lambda x: 1 - torch.tanh(x) ** 2),
    "identity": (lambda x: x, torch.ones_like),
    "constant": (lambda x: torch.full_like(x, 3.0), torch.zeros_like),
}


def draw(shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)


def away_from_zero(shape, seed):
    values = draw(shape, seed).detach()
    return (values + torch.where(values < 0, -0.5, 0.5)).requires_grad_()


@settings(deadline=None, max_examples=25)
@given(shapes, st.integers(0, 1000))
def test_division_has_the_gradients_that_differences_give(shape, seed):
    x, y = draw(shape, seed), away_from_zero(shape, seed + 1)
    torch.testing.assert_close(divide(x, y), x / y, rtol=0, atol=1e-10)
    assert gradcheck(divide, (x, y))
    assert gradgradcheck(divide, (x, y))


def test_the_gradient_of_a_divisor_has_its_minus_sign():
    x, y = torch.tensor([6.0]), torch.tensor([2.0], requires_grad=True)
    divide(x, y).backward()
    assert y.grad.item() == -6 / 2**2


def test_division_refuses_two_shapes_and_names_both():
    with pytest.raises(ValueError, match=r"x and y of one shape, but got x \(2,\) and y \(3,\)"):
        divide(torch.ones(2), torch.ones(3))


def test_division_refuses_what_is_no_tensor():
    with pytest.raises(TypeError, match=r"expected y to be a tensor, but got y=2.0"):
        divide(torch.ones(2), 2.0)


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(deadline=None, max_examples=8)
@given(shape=shapes, seed=st.integers(0, 1000))
def test_a_function_has_the_gradient_of_its_derivative(name, shape, seed):
    function, derivative = FUNCTIONS[name]
    x = draw(shape, seed)
    torch.testing.assert_close(elementwise(x, function, derivative), function(x), rtol=0, atol=1e-10)
    assert gradcheck(lambda x: elementwise(x, function, derivative), (x,))
    assert gradgradcheck(lambda x: elementwise(x, function, derivative), (x,))


def test_a_wrong_derivative_is_found_by_gradcheck():
    x = draw((3,), 0)
    assert not gradcheck(lambda x: elementwise(x, torch.sin, torch.sin), (x,), raise_exception=False)


def test_a_function_that_changes_the_shape_is_refused():
    with pytest.raises(ValueError, match=r"keep the shape \(2, 3\) of inputs, but got shape \(\)"):
        elementwise(torch.ones(2, 3), torch.sum, torch.ones_like)
