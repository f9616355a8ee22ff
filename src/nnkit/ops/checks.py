"""Arguments as the layers need them, or an error that names the argument, its value and what was expected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

IntOrPair = int | Sequence[int]
"""One number for rows and columns alike, or the two of them: (rows, columns)."""


def is_int(value: object) -> bool:
    """Whether a value is an integer, or represents one while a model is exported; a bool is not."""
    return isinstance(value, int | torch.SymInt) and not isinstance(value, bool)


def check_int(name: str, value: Any, *, minimum: int) -> int:
    """The value, an integer of at least `minimum`."""
    if not is_int(value):
        raise TypeError(f"expected {name} to be an integer, but got {name}={value!r}")
    if value < minimum:
        raise ValueError(f"expected {name} to be at least {minimum}, but got {name}={value!r}")
    return value  # type: ignore[no-any-return]


def as_pair(name: str, value: Any, *, minimum: int) -> tuple[int, int]:
    """(rows, columns) from an integer or a pair of integers, each at least `minimum`."""
    if is_int(value):
        pair = (value, value)
    elif not isinstance(value, list | tuple) or not all(is_int(item) for item in value):
        raise TypeError(
            f"expected {name} to be an integer or a pair of them (rows, columns), but got {name}={value!r}"
        )
    elif len(value) != 2:
        raise ValueError(
            f"expected {name} to be an integer or a pair of them (rows, columns), but got {name}={value!r}"
        )
    else:
        pair = (value[0], value[1])
    if pair[0] < minimum or pair[1] < minimum:
        raise ValueError(f"expected {name} to be at least {minimum}, but got {name}={value!r}")
    return pair


def check_tensor(name: str, value: object) -> None:
    """Refuse what is no tensor."""
    if not isinstance(value, Tensor):
        raise TypeError(f"expected {name} to be a tensor, but got {name}={value!r}")


def check_dims(name: str, tensor: Tensor, dims: str) -> None:
    """Refuse what is no tensor with these dimensions, given as "b, c, h, w"."""
    check_tensor(name, tensor)
    if tensor.ndim != dims.count(",") + 1:
        raise ValueError(f"expected {name} of shape ({dims}), but got shape {tuple(tensor.shape)}")


def check_dtypes(**tensors: Tensor) -> None:
    """Refuse tensors of different dtypes."""
    if len({tensor.dtype for tensor in tensors.values()}) > 1:
        shown = " and ".join(f"{name} {tensor.dtype}" for name, tensor in tensors.items())
        raise TypeError(f"expected {' and '.join(tensors)} of one dtype, but got {shown}")


def check_conv(inputs: Tensor, kernel: Tensor) -> None:
    """Refuse an input and a kernel that cannot be convolved, whatever stride and padding."""
    check_dims("inputs", inputs, "b, c, h, w")
    check_dims("kernel", kernel, "o, c, hk, wk")
    if kernel.shape[0] < 1 or kernel.shape[1] < 1:
        raise ValueError(f"expected kernel to have channels, but got shape {tuple(kernel.shape)}")
    if inputs.shape[1] != kernel.shape[1]:
        raise ValueError(
            f"expected inputs with {kernel.shape[1]} channels, as kernel {tuple(kernel.shape)} has, "
            f"but got {inputs.shape[1]} channels in inputs {tuple(inputs.shape)}"
        )
    check_dtypes(inputs=inputs, kernel=kernel)
