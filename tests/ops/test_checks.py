"""Each layer names the argument that is wrong, and no gradient is computed that nobody asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from nnkit.ops import (
    Conv2d,
    broadcast_columns,
    conv2d,
    conv_output_size,
    divide,
    elementwise,
    fold,
    global_pool,
    matrix_product,
    naive_conv2d,
    naive_unfold,
    unfold,
)

IMAGE, KERNEL, PATCHES = torch.ones(2, 3, 6, 5), torch.ones(4, 3, 3, 2), torch.ones(2, 18, 16)
VECTOR = torch.ones(4)
LAYERS: dict[str, tuple[Callable[..., Any], dict[str, Any], dict[str, str]]] = {
    "conv2d": (
        conv2d,
        {"inputs": IMAGE, "kernel": KERNEL, "bias": VECTOR},
        {"inputs": "b, c, h, w", "kernel": "o, c, hk, wk", "bias": "o"},
    ),
    "naive_conv2d": (
        naive_conv2d,
        {"inputs": IMAGE, "kernel": KERNEL},
        {"inputs": "b, c, h, w", "kernel": "o, c, hk, wk"},
    ),
    "unfold": (unfold, {"inputs": IMAGE, "kernel_size": (3, 2)}, {"inputs": "b, c, h, w"}),
    "naive_unfold": (naive_unfold, {"inputs": IMAGE, "kernel_size": (3, 2)}, {"inputs": "b, c, h, w"}),
    "fold": (fold, {"patches": PATCHES, "size": (6, 5), "kernel_size": (3, 2)}, {"patches": "b, k, p"}),
    "global_pool": (global_pool, {"inputs": IMAGE}, {"inputs": "b, c, h, w"}),
    "matrix_product": (
        matrix_product,
        {"weight": torch.ones(2, 3), "inputs": torch.ones(4, 3)},
        {"weight": "o, k", "inputs": "p, k"},
    ),
    "broadcast_columns": (broadcast_columns, {"vector": VECTOR, "num_columns": 3}, {"vector": "o"}),
    "divide": (divide, {"x": VECTOR, "y": VECTOR}, {"x": "", "y": ""}),
    "elementwise": (
        elementwise,
        {"inputs": VECTOR, "function": torch.sin, "derivative": torch.cos},
        {"inputs": ""},
    ),
}
TENSORS = [(name, argument) for name, (_, _, shapes) in LAYERS.items() for argument in shapes]
SHAPED = [(name, argument) for name, argument in TENSORS if LAYERS[name][2][argument]]


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_takes_what_fits(name: str) -> None:
    layer, arguments, _ = LAYERS[name]
    layer(**arguments)


@pytest.mark.parametrize(("name", "argument"), [pair for pair in TENSORS if pair != ("conv2d", "inputs")])
def test_what_is_no_tensor_is_a_type_error_that_names_it(name: str, argument: str) -> None:
    layer, arguments, _ = LAYERS[name]
    with pytest.raises(TypeError, match=rf"expected {argument} to be a tensor, but got {argument}=\[1, 2\]"):
        layer(**(arguments | {argument: [1, 2]}))


@pytest.mark.parametrize("more", [-1, 1])
@pytest.mark.parametrize(("name", "argument"), SHAPED)
def test_a_tensor_of_another_number_of_axes_is_refused_with_the_axes_expected(
    name: str, argument: str, more: int
) -> None:
    layer, arguments, shapes = LAYERS[name]
    shape = (1,) * (len(shapes[argument].split(",")) + more)
    with pytest.raises(ValueError, match=rf"expected {argument} of shape \({shapes[argument]}\), but got"):
        layer(**(arguments | {argument: torch.ones(shape)}))


@pytest.mark.parametrize("shape", [(0, 3, 3, 2), (4, 0, 3, 2)])
@pytest.mark.parametrize("layer", [conv2d, naive_conv2d])
def test_a_kernel_without_channels_is_refused(layer: Callable[..., Tensor], shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected kernel to have channels"):
        layer(torch.ones(2, shape[1], 6, 5), torch.ones(shape))


LEAST = {"size": 1, "kernel_size": 1, "stride": 1, "padding": 0, "dilation": 1}
WHERE = {
    "conv2d": ("stride", "padding", "dilation"),
    "naive_conv2d": ("stride", "padding", "dilation"),
    "unfold": ("kernel_size", "stride", "padding", "dilation"),
    "naive_unfold": ("kernel_size", "stride", "padding", "dilation"),
    "fold": ("size", "kernel_size", "stride", "padding", "dilation"),
    "Conv2d": ("kernel_size", "stride", "padding", "dilation"),
    "conv_output_size": tuple(LEAST),
}


@pytest.mark.parametrize(("name", "setting"), [(name, each) for name, all_ in WHERE.items() for each in all_])
def test_a_number_of_rows_or_columns_too_small_is_refused_by_name(name: str, setting: str) -> None:
    if name == "Conv2d":
        layer, arguments = Conv2d, {"in_channels": 1, "out_channels": 1, "kernel_size": 3}
    elif name == "conv_output_size":
        layer, arguments = conv_output_size, {"size": 9, "kernel_size": 3}
    else:
        layer, arguments, _ = LAYERS[name]
    least = LEAST[setting]
    for value in (least - 1, (least - 1, least), (least, least - 1)):
        with pytest.raises(
            ValueError, match=f"expected {setting} to be at least {least}, but got {setting}="
        ):
            layer(**(arguments | {setting: value}))
    with pytest.raises(TypeError, match=f"expected {setting} to be an integer or a pair"):
        layer(**(arguments | {setting: 1.5}))


@pytest.mark.parametrize("setting", ["in_channels", "out_channels"])
@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (1.0, TypeError), (True, TypeError)])
def test_a_number_of_channels_is_an_integer_of_at_least_1(
    setting: str, value: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match=f"expected {setting} to be .*, but got {setting}={value}"):
        Conv2d(**({"in_channels": 1, "out_channels": 1, "kernel_size": 3} | {setting: value}))


def test_tensors_of_two_dtypes_are_named_with_them() -> None:
    with pytest.raises(TypeError, match=r"inputs torch\.float32 and kernel torch\.float64"):
        naive_conv2d(IMAGE, KERNEL.double())
    with pytest.raises(TypeError, match=r"bias torch\.float64 and kernel torch\.float32"):
        conv2d(IMAGE, KERNEL, VECTOR.double())


@pytest.mark.parametrize("needs", [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("layer", ["matrix_product", "conv2d"])
def test_the_way_back_costs_one_product_for_each_gradient_asked_for(
    layer: str, needs: tuple[bool, bool]
) -> None:
    shapes = {"matrix_product": ((5, 3), (7, 3)), "conv2d": ((2, 3, 6, 5), (4, 3, 3, 2))}[layer]
    first, second = (torch.ones(shape, requires_grad=need) for shape, need in zip(shapes, needs, strict=True))
    with FlopCounterMode(display=False) as forward:
        outputs = LAYERS[layer][0](first, second)
    with FlopCounterMode(display=False) as backward:
        outputs.sum().backward()
    assert (
        forward.get_total_flops() == {"matrix_product": 2 * 5 * 3 * 7, "conv2d": 2 * 2 * 4 * 18 * 16}[layer]
    )
    assert backward.get_total_flops() == sum(needs) * forward.get_total_flops()
