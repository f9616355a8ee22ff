import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck

from nnkit.ops import global_pool

TORCH = {"max": F.adaptive_max_pool2d, "amax": F.adaptive_max_pool2d, "avg": F.adaptive_avg_pool2d}
KINDS = pytest.mark.parametrize("kind", TORCH)


@KINDS
@settings(deadline=None, max_examples=15)
@given(
    b=st.integers(0, 2),
    c=st.integers(1, 3),
    h=st.integers(1, 4),
    w=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_values_and_gradients_are_right_for_any_shape(kind, b, c, h, w, seed):
    # Whole numbers in random order: no two are so near that a difference could swap the largest.
    order = torch.randperm(b * c * h * w, generator=torch.Generator().manual_seed(seed))
    inputs = order.double().reshape(b, c, h, w).requires_grad_()
    outputs = global_pool(inputs, kind)
    assert outputs.shape == (b, c)
    torch.testing.assert_close(outputs, TORCH[kind](inputs, 1)[:, :, 0, 0], rtol=0, atol=1e-10)
    assert gradcheck(lambda inputs: global_pool(inputs, kind), (inputs,))
    assert gradgradcheck(lambda inputs: global_pool(inputs, kind), (inputs,))


@KINDS
def test_a_batch_of_one_stays_a_batch(kind):
    assert global_pool(torch.ones(1, 5, 3, 4), kind).shape == (1, 5)
    assert global_pool(torch.ones(1, 1, 3, 4), kind).shape == (1, 1)


@pytest.mark.parametrize(
    ("kind", "expected"), [("max", [1.0, 0.0]), ("amax", [0.5, 0.5]), ("avg", [0.5, 0.5])]
)
def test_pixels_that_share_the_largest_value(kind, expected):
    inputs = torch.ones(1, 1, 1, 2, requires_grad=True)
    global_pool(inputs, kind).sum().backward()
    assert inputs.grad.flatten().tolist() == expected


def test_an_unknown_kind_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match='expected kind to be "max", "amax" or "avg", but got kind=\'mean\''):
        global_pool(torch.ones(1, 1, 2, 2), "mean")


def test_images_without_pixels_are_refused():
    with pytest.raises(ValueError, match=r"at least one pixel, but got shape \(2, 3, 0, 4\)"):
        global_pool(torch.ones(2, 3, 0, 4))


def test_an_image_without_a_batch_is_refused():
    with pytest.raises(
        ValueError, match=r"expected inputs of shape \(b, c, h, w\), but got shape \(3, 4, 4\)"
    ):
        global_pool(torch.ones(3, 4, 4))
