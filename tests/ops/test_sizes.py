import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings

from nnkit.ops import conv_output_size
from ops.conv_cases import ConvCase, conv_cases


@pytest.mark.parametrize(("width", "height", "expected"), [(1024, 768, (383, 511)), (1920, 1080, (539, 959))])
def test_published_sizes_for_a_5x5_kernel_padding_1_stride_2(width, height, expected):
    assert conv_output_size((height, width), 5, padding=1, stride=2) == expected


@settings(deadline=None, max_examples=100)
@given(conv_cases(max_extra=6))
def test_sizes_are_those_of_torch(case: ConvCase):
    outputs = F.conv2d(torch.zeros(1, 1, *case.size), torch.zeros(1, 1, *case.kernel_size), **case.where)
    assert conv_output_size(case.size, case.kernel_size, **case.where) == tuple(outputs.shape[2:])


def test_the_width_counts_the_first_place_as_the_height_does():
    assert conv_output_size((7, 7), (3, 3)) == (5, 5)
    assert conv_output_size((9, 4), (2, 4)) == (8, 1)
    assert conv_output_size((4, 9), (4, 2)) == (1, 8)


def test_an_integer_stands_for_rows_and_columns():
    expected = conv_output_size((9, 9), (3, 3), stride=(2, 2), padding=(1, 1), dilation=(2, 2))
    assert conv_output_size(9, 3, stride=2, padding=1, dilation=2) == expected
    assert conv_output_size([9, 9], [3, 3], stride=[2, 2], padding=[1, 1], dilation=[2, 2]) == expected


def test_an_input_too_small_is_refused_with_its_numbers():
    with pytest.raises(
        ValueError, match=r"size 2×9 with padding 1×0, 4×9 in all, .* 3×3 with dilation 2×1"
    ) as caught:
        conv_output_size((2, 9), 3, padding=(1, 0), dilation=(2, 1))
    assert "spans 5×3" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("kernel_size", 0), ("stride", 0), ("stride", (1, -1)), ("padding", -1), ("dilation", 0)],
)
def test_a_value_too_small_is_refused_with_its_name(name, value):
    with pytest.raises(ValueError, match=rf"expected {name} to be at least \d, but got {name}="):
        conv_output_size((8, 8), **({"kernel_size": 3} | {name: value}))


@pytest.mark.parametrize("value", [1.0, "2", None, True, (1, 2.0), {1, 2}])
def test_what_is_no_integer_is_a_type_error(value):
    with pytest.raises(TypeError, match="expected stride to be an integer or a pair"):
        conv_output_size(8, 3, stride=value)


@pytest.mark.parametrize("value", [(), (1,), (1, 2, 3)])
def test_a_pair_holds_two(value):
    with pytest.raises(ValueError, match="expected stride to be an integer or a pair"):
        conv_output_size(8, 3, stride=value)
