import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from torch.autograd import gradcheck, gradgradcheck

from nnkit.ops import naive_conv2d, naive_unfold
from ops.conv_cases import ConvCase, conv_cases


@settings(deadline=None, max_examples=40)
@given(conv_cases())
def test_the_loops_convolve_as_torch_does(case: ConvCase):
    inputs, kernel = case.inputs().detach(), case.kernel().detach()
    expected = F.conv2d(inputs, kernel, **case.where)
    torch.testing.assert_close(naive_conv2d(inputs, kernel, **case.where), expected, rtol=0, atol=1e-10)


@settings(deadline=None, max_examples=40)
@given(conv_cases())
def test_the_loops_unfold_as_torch_does(case: ConvCase):
    inputs = case.inputs().detach()
    assert torch.equal(
        naive_unfold(inputs, case.kernel_size, **case.where), F.unfold(inputs, case.kernel_size, **case.where)
    )


@settings(deadline=None, max_examples=15)
@given(conv_cases(max_kernel=2, max_extra=1))
def test_the_loops_have_the_gradients_that_differences_give(case: ConvCase):
    def convolve(inputs, kernel):
        return naive_conv2d(inputs, kernel, **case.where)

    def unfold(inputs):
        return naive_unfold(inputs, case.kernel_size, **case.where)

    inputs, kernel = case.inputs(), case.kernel()
    assert gradcheck(convolve, (inputs, kernel))
    assert gradgradcheck(convolve, (inputs, kernel))
    assert gradcheck(unfold, (inputs,))
    assert gradgradcheck(unfold, (inputs,))


def test_at_stride_2_patches_are_counted_by_the_width_of_the_output():
    image = torch.arange(25.0).reshape(1, 1, 5, 5)
    top_left = naive_unfold(image, 3, stride=2)[0, 0]
    assert top_left.tolist() == [0.0, 2.0, 10.0, 12.0]
    published = [image[0, 0, 2 * (row // 3), 2 * (row % 3)].item() for row in range(4)]
    assert published != top_left.tolist()


def test_channels_that_differ_are_refused_with_both_shapes():
    with pytest.raises(ValueError, match=r"inputs with 2 channels, as kernel \(4, 2, 3, 3\) has, but got 3"):
        naive_conv2d(torch.zeros(1, 3, 8, 8), torch.zeros(4, 2, 3, 3))


def test_a_kernel_larger_than_the_image_is_refused():
    with pytest.raises(ValueError, match=r"size 2×2 with padding 0×0"):
        naive_unfold(torch.zeros(1, 1, 2, 2), 3)
