"""Nested state as JSON and named tensors: what a file without pickles can hold, and nothing else.

JSON has no tensors, tuples, non-text keys or non-finite numbers: each becomes an object with one key that
begins with "$". What is neither a tensor nor a plain value is refused by its place.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nnkit.errors import CheckpointError

_PLAIN = (str, int, bool, type(None))


def pack(state: object, place: str) -> tuple[Any, dict[str, Tensor]]:
    """The state as JSON, and its tensors by place, on the CPU and sharing no memory.

    `CheckpointError` for a value that is no tensor, number, text, list, tuple, dict or None: it names the
    place, such as "optimizer.state.0.history".
    """
    tensors: dict[str, Tensor] = {}
    return _packed(state, place, tensors), tensors


def _packed(value: object, place: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        return _packed_tensor(value, place, tensors)
    if isinstance(value, (np.ndarray, np.generic)):
        inner = _packed(torch.from_numpy(np.array(value)), place, tensors)
        return {"$array": inner["$tensor"]}
    if type(value) is float:
        return value if math.isfinite(value) else {"$float": repr(value)}
    if type(value) in _PLAIN:
        return value
    if type(value) in (list, tuple):
        items = [_packed(item, f"{place}.{at}", tensors) for at, item in enumerate(value)]  # type: ignore[arg-type, var-annotated]
        return items if type(value) is list else {"$tuple": items}
    if type(value) in (dict, OrderedDict):
        return _packed_dict(value, place, tensors)  # type: ignore[arg-type]
    if type(value) is Counter:  # the milestones of torch's MultiStepLR
        return {"$counter": _packed_dict(value, place, tensors)}
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    raise CheckpointError(
        f"{place} is of type {kind}, which a checkpoint cannot hold",
        hint="state_dict() may hold tensors, numbers, texts, lists, tuples and dicts",
    )


def _packed_tensor(value: Tensor, place: str, tensors: dict[str, Tensor]) -> Any:
    if place in tensors:
        raise CheckpointError(f"two tensors are at {place}", hint="give the keys of the state other names")
    # clone: safetensors refuses tensors that share memory, as tied weights do
    tensors[place] = value.detach().cpu().contiguous().clone()
    # The order in memory decides which kernel adds up, and so the last bit.
    if (
        value.ndim == 4
        and not value.is_contiguous()
        and value.is_contiguous(memory_format=torch.channels_last)
    ):
        return {"$tensor": place, "channels_last": True}
    return {"$tensor": place}


def _packed_dict(value: Mapping[Any, Any], place: str, tensors: dict[str, Tensor]) -> Any:
    if all(type(key) is str and not key.startswith("$") for key in value):
        return {key: _packed(item, f"{place}.{key}", tensors) for key, item in value.items()}
    return {
        "$dict": [
            [_packed(key, f"{place}.key{at}", tensors), _packed(item, f"{place}.{key}", tensors)]
            for at, (key, item) in enumerate(value.items())
        ]
    }


def unpack(packed: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The state that `pack` was given; `KeyError`, `TypeError` or `ValueError` where it is damaged."""
    if isinstance(packed, list):
        return [unpack(item, tensors) for item in packed]
    if not isinstance(packed, dict):
        return packed
    if "$tensor" in packed:
        # A copy stands in memory as torch aligns it, a part of a file as it may: sums differ in the last bit.
        tensor = tensors[packed["$tensor"]].clone()
        return tensor.contiguous(memory_format=torch.channels_last) if packed.get("channels_last") else tensor
    if "$array" in packed:
        return tensors[packed["$array"]].numpy()
    if "$float" in packed:
        return float(packed["$float"])
    if "$tuple" in packed:
        return tuple(unpack(item, tensors) for item in packed["$tuple"])
    if "$counter" in packed:
        return Counter(unpack(packed["$counter"], tensors))
    if "$dict" in packed:
        return {unpack(key, tensors): unpack(item, tensors) for key, item in packed["$dict"]}
    return {key: unpack(item, tensors) for key, item in packed.items()}
