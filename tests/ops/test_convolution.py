import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from torch import nn
from torch.autograd import gradcheck, gradgradcheck

from nnkit.ops import Conv2d, Conv2dFunction, conv2d, naive_conv2d
from ops.conv_cases import ConvCase, conv_cases

SETTINGS = [
    {},
    {"stride": 2, "padding": 1},
    {"stride": (2, 1), "padding": (0, 2), "dilation": (1, 2)},
    {"bias": False},
]


@settings(deadline=None, max_examples=60)
@given(conv_cases(max_channels=3))
def test_values_and_gradients_are_those_of_torch(case: ConvCase):
    ours, theirs = (case.inputs(), case.kernel()), (case.inputs(), case.kernel())
    outputs, expected = conv2d(*ours, **case.where), F.conv2d(*theirs, **case.where)
    torch.testing.assert_close(outputs, expected, rtol=0, atol=1e-10)
    upstream = torch.randn_like(expected)
    outputs.backward(upstream)
    expected.backward(upstream)
    for tensor, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(tensor.grad, other.grad, rtol=0, atol=1e-10)


@settings(deadline=None, max_examples=25)
@given(conv_cases())
def test_values_are_those_of_the_loops(case: ConvCase):
    inputs, kernel = case.inputs().detach(), case.kernel().detach()
    outputs = Conv2dFunction.apply(inputs, kernel, case.stride, case.padding, case.dilation)
    torch.testing.assert_close(outputs, naive_conv2d(inputs, kernel, **case.where), rtol=0, atol=1e-10)


@settings(deadline=None, max_examples=50)
@given(conv_cases(max_extra=2))
def test_first_and_second_gradients_are_those_that_differences_give(case: ConvCase):
    def convolve(inputs, kernel):
        return Conv2dFunction.apply(inputs, kernel, case.stride, case.padding, case.dilation)

    assert gradcheck(convolve, (case.inputs(), case.kernel()))
    assert gradgradcheck(convolve, (case.inputs(), case.kernel()))


@settings(deadline=None, max_examples=20)
@given(conv_cases(max_kernel=2, max_extra=1))
def test_a_bias_has_its_gradients_too(case: ConvCase):
    def convolve(inputs, kernel, bias):
        return conv2d(inputs, kernel, bias, **case.where)

    arguments = (case.inputs(), case.kernel(), case.draw(case.out_channels))
    torch.testing.assert_close(convolve(*arguments), F.conv2d(*arguments, **case.where), rtol=0, atol=1e-10)
    assert gradcheck(convolve, arguments)
    assert gradgradcheck(convolve, arguments)


def test_only_the_gradients_asked_for_are_computed():
    inputs, kernel = torch.randn(2, 3, 5, 5), torch.randn(4, 3, 3, 3, requires_grad=True)
    Conv2dFunction.apply(inputs, kernel).sum().backward()
    assert inputs.grad is None
    assert kernel.grad.shape == kernel.shape


def test_autocast_computes_in_its_dtype_and_brings_gradients_back_in_the_parameters():
    module, inputs = Conv2d(3, 4, 3), torch.randn(2, 3, 6, 6, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = module(inputs)
    assert outputs.dtype == torch.bfloat16
    outputs.float().sum().backward()
    assert {inputs.grad.dtype, module.weight.grad.dtype, module.bias.grad.dtype} == {torch.float32}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_autocast_computes_as_torchs_own_does_under_it(dtype):
    inputs, kernel, bias = (torch.randn(shape).to(dtype) for shape in ((2, 3, 6, 6), (4, 3, 3, 3), (4,)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs, expected = conv2d(inputs, kernel, bias), F.conv2d(inputs, kernel, bias)
    assert outputs.dtype == expected.dtype
    rounding = 1e-12 if dtype == torch.float64 else 2e-2
    torch.testing.assert_close(outputs, expected, rtol=rounding, atol=10 * rounding)


def test_shapes_are_known_without_values():
    inputs, kernel = torch.empty(2, 3, 6, 5, device="meta"), torch.empty(4, 3, 3, 2, device="meta")
    assert conv2d(inputs, kernel, stride=2).shape == F.conv2d(inputs, kernel, stride=2).shape


@pytest.mark.parametrize("options", SETTINGS)
def test_the_module_starts_as_that_of_torch_does(options):
    torch.manual_seed(5)
    ours = Conv2d(3, 4, (3, 2), **options)
    after_ours = torch.rand(3)
    torch.manual_seed(5)
    theirs = nn.Conv2d(3, 4, (3, 2), **options)
    after_theirs = torch.rand(3)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert all(torch.equal(ours.state_dict()[name], value) for name, value in theirs.state_dict().items())
    assert torch.equal(after_ours, after_theirs)


@pytest.mark.parametrize("options", SETTINGS)
def test_the_module_takes_the_weights_of_torch_and_gives_its_outputs(options):
    theirs = nn.Conv2d(3, 4, (3, 2), **options).double()
    ours = Conv2d(3, 4, (3, 2), **options).double()
    ours.load_state_dict(theirs.state_dict())
    inputs = torch.randn(2, 3, 8, 9, dtype=torch.float64)
    torch.testing.assert_close(ours(inputs), theirs(inputs), rtol=0, atol=1e-10)


def test_an_optimizer_sees_the_kernel_and_moves_it():
    module = Conv2d(1, 2, 3)
    assert [name for name, _ in module.named_parameters()] == ["weight", "bias"]
    before = copy.deepcopy(module.state_dict())
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    module(torch.randn(2, 1, 5, 5)).square().mean().backward()
    optimizer.step()
    assert all(not torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_a_net_of_ours_learns_step_by_step_what_a_net_of_torch_does():
    def train(layer):
        torch.manual_seed(0)
        net = nn.Sequential(layer(1, 4, 3, padding=1), nn.ReLU(), layer(4, 2, 3, stride=2)).double()
        inputs, targets = torch.randn(8, 1, 7, 7).double(), torch.randn(8, 2, 3, 3).double()
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
        losses = []
        for _ in range(10):
            optimizer.zero_grad()
            loss = F.mse_loss(net(inputs), targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    ours, theirs = train(Conv2d), train(nn.Conv2d)
    assert ours == pytest.approx(theirs, abs=1e-10)
    assert ours[-1] < ours[0]


def test_the_module_is_exported_with_a_batch_of_any_size():
    module = Conv2d(1, 2, 3, padding=1).eval()
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(module, (torch.randn(2, 1, 6, 6),), dynamic_shapes=({0: batch},))
    inputs = torch.randn(5, 1, 6, 6)
    torch.testing.assert_close(program.module()(inputs), module(inputs))


def test_what_follows_may_overwrite_the_outputs():
    module, inputs = Conv2d(2, 2, 1, bias=False), torch.randn(1, 2, 3, 3, requires_grad=True)
    expected = torch.autograd.grad(F.conv2d(inputs, module.weight).relu().sum(), inputs)[0]
    module(inputs).relu_().sum().backward()
    torch.testing.assert_close(inputs.grad, expected)


def test_the_module_is_compiled_whole_and_trains_as_before():
    module, inputs = Conv2d(2, 3, 3, padding=1), torch.randn(2, 2, 5, 5)
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
    expected = torch.autograd.grad(module(inputs).square().sum(), module.weight)[0]
    compiled(inputs).square().sum().backward()
    torch.testing.assert_close(module.weight.grad, expected)


def test_the_module_prints_its_settings():
    shown = repr(Conv2d(1, 2, 3, stride=2, bias=False))
    assert shown == (
        "Conv2d(1, 2, kernel_size=(3, 3), stride=(2, 2), padding=(0, 0), dilation=(1, 1), bias=False)"
    )


def test_a_wrong_number_of_channels_names_both():
    with pytest.raises(
        ValueError, match=r"inputs with 3 channels, .* but got 1 channels in inputs \(2, 1, 8, 8\)"
    ):
        Conv2d(3, 4, 3)(torch.zeros(2, 1, 8, 8))


def test_whole_numbers_for_pixels_are_a_type_error():
    with pytest.raises(TypeError, match=r"inputs torch.uint8 and kernel torch.float32"):
        Conv2d(1, 1, 1)(torch.zeros(1, 1, 2, 2, dtype=torch.uint8))


def test_a_bias_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"expected bias of 4 values, .* but got 1"):
        conv2d(torch.zeros(1, 1, 3, 3), torch.zeros(4, 1, 3, 3), torch.zeros(1))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((0, 1, 3), {}, "expected in_channels to be at least 1, but got in_channels=0"),
        ((1, -1, 3), {}, "expected out_channels to be at least 1, but got out_channels=-1"),
        ((1, 1, 0), {}, "expected kernel_size to be at least 1, but got kernel_size=0"),
        ((1, 1, 3), {"stride": 0}, "expected stride to be at least 1, but got stride=0"),
        ((1, 1, 3), {"padding": (0, -2)}, r"expected padding to be at least 0, but got padding=\(0, -2\)"),
    ],
)
def test_a_setting_out_of_range_is_refused_when_the_module_is_made(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        Conv2d(*arguments, **options)


def test_padding_by_name_is_a_type_error():
    with pytest.raises(TypeError, match=r"expected padding to be an integer or a pair .* got padding='same'"):
        Conv2d(1, 1, 3, padding="same")
