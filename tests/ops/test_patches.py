import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from torch.autograd import gradcheck, gradgradcheck

from nnkit.ops import fold, naive_unfold, unfold
from nnkit.ops.patches import Fold, Unfold
from ops.conv_cases import ConvCase, conv_cases


@settings(deadline=None, max_examples=60)
@given(conv_cases())
def test_unfold_equals_the_loops(case: ConvCase):
    inputs = case.inputs().detach()
    expected = naive_unfold(inputs, case.kernel_size, **case.where)
    assert torch.equal(unfold(inputs, case.kernel_size, **case.where), expected)


@settings(deadline=None, max_examples=60)
@given(conv_cases())
def test_unfold_and_fold_equal_those_of_torch(case: ConvCase):
    inputs = case.inputs().detach()
    patches = unfold(inputs, case.kernel_size, **case.where)
    image = fold(patches, case.size, case.kernel_size, **case.where)
    assert torch.equal(patches, F.unfold(inputs, case.kernel_size, **case.where))
    expected = F.fold(patches, case.size, case.kernel_size, **case.where)
    torch.testing.assert_close(image, expected, rtol=0, atol=1e-10)


@settings(deadline=None, max_examples=40)
@given(conv_cases(max_extra=2))
def test_unfold_and_fold_have_the_gradients_that_differences_give(case: ConvCase):
    def to_patches(inputs):
        return unfold(inputs, case.kernel_size, **case.where)

    def to_image(patches):
        return fold(patches, case.size, case.kernel_size, **case.where)

    inputs = case.inputs()
    patches = to_patches(inputs).detach().requires_grad_()
    assert gradcheck(to_patches, (inputs,))
    assert gradgradcheck(to_patches, (inputs,))
    assert gradcheck(to_image, (patches,))
    assert gradgradcheck(to_image, (patches,))


def test_folding_counts_how_many_patches_hold_a_pixel():
    image = torch.ones(1, 1, 3, 3)
    assert fold(unfold(image, 2), (3, 3), 2)[0, 0].tolist() == [[1, 2, 1], [2, 4, 2], [1, 2, 1]]


@pytest.mark.parametrize("make", ["channels_last", "transposed", "sliced", "expanded"])
def test_unfold_reads_images_however_they_lie_in_memory(make):
    image = torch.randn(2, 3, 6, 5)
    laid_out = {
        "channels_last": lambda: image.to(memory_format=torch.channels_last),
        "transposed": lambda: image.mT,
        "sliced": lambda: image[1:, :, 1::2, 1:],
        "expanded": lambda: image[:, :1].expand(2, 3, 6, 5),
    }[make]()
    assert torch.equal(unfold(laid_out, 2), F.unfold(laid_out.contiguous(), 2))


def test_writing_to_the_patches_leaves_the_image():
    image = torch.ones(1, 1, 2, 2)
    unfold(image, 1).zero_()
    assert image.sum() == 4


def test_patches_and_images_may_be_overwritten_before_the_backward_pass():
    image = torch.ones(1, 1, 3, 3, requires_grad=True)
    fold(unfold(image, 2).mul_(2), (3, 3), 2).mul_(3).sum().backward()
    assert image.grad[0, 0].tolist() == [[6, 12, 6], [12, 24, 12], [6, 12, 6]]


def test_the_functions_take_the_defaults_of_a_plain_convolution():
    image = torch.randn(1, 2, 4, 4, requires_grad=True)
    patches = Unfold.apply(image, 3)
    assert torch.equal(patches, F.unfold(image, 3))
    Fold.apply(patches, (4, 4), 3).sum().backward()
    assert image.grad is not None


def test_an_image_without_a_batch_is_refused():
    with pytest.raises(
        ValueError, match=r"expected inputs of shape \(b, c, h, w\), but got shape \(3, 8, 8\)"
    ):
        unfold(torch.zeros(3, 8, 8), 3)


@pytest.mark.parametrize("shape", [(1, 8, 4), (1, 9, 5)])
def test_patches_that_do_not_fit_the_image_are_refused(shape):
    with pytest.raises(ValueError, match=r"k a multiple of 9, .* 3×3, and p = 4, .* 2×2, but got shape"):
        fold(torch.zeros(shape), (4, 4), 3)
