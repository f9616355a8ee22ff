"""Nested state goes to JSON and tensors and comes back equal; what neither can hold is refused by name."""

from __future__ import annotations

import json
import math
from collections import Counter, OrderedDict
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nnkit.errors import CheckpointError
from nnkit.runs.plain_state import pack, unpack

plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
keys = st.text(max_size=4) | st.integers(-5, 5) | st.tuples(st.integers(0, 3), st.text(max_size=2))
nested = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(keys, inner, max_size=3)
    ),
    max_leaves=12,
)


def through_a_file(state: object) -> Any:
    packed, tensors = pack(state, "state")
    return unpack(json.loads(json.dumps(packed, allow_nan=False)), tensors)


def same(a: object, b: object) -> bool:
    if isinstance(a, float) and math.isnan(a):
        return isinstance(b, float) and math.isnan(b)
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return a == b


@given(nested)
def test_plain_values_come_back_equal_with_their_types(state: object) -> None:
    assert same(through_a_file(state), state)


@pytest.mark.parametrize(
    "value",
    [
        torch.arange(6.0).reshape(2, 3), torch.zeros(0, 3), torch.tensor(3), torch.ones(3).bfloat16(),
        torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last), torch.arange(12.0).view(3, 4).T,
        torch.tensor([True, False]), torch.tensor([math.nan, math.inf]),
    ],
    ids=["2d", "empty", "scalar", "bf16", "channels-last", "transposed", "bool", "nan"],
)  # fmt: skip
def test_tensors_come_back_to_the_bit_and_4d_ones_in_their_order_in_memory(value: Tensor) -> None:
    (found,) = through_a_file([value])
    assert (found.dtype, found.shape) == (value.dtype, value.shape)
    assert torch.allclose(found.double(), value.double(), rtol=0, atol=0, equal_nan=True)
    if value.ndim == 4:
        assert found.stride() == value.stride()


def test_tensors_that_share_memory_and_are_nested_anywhere_are_kept() -> None:
    shared = torch.arange(3.0)
    state = {"state": {0: {"old": [shared, shared]}}, "groups": ({"lr": shared},), "none": None}
    found = through_a_file(state)
    assert [torch.equal(one, shared) for one in found["state"][0]["old"]] == [True, True]
    assert torch.equal(found["groups"][0]["lr"], shared)
    shared.zero_()
    assert found["groups"][0]["lr"].tolist() == [0, 1, 2], "a copy, not a view"


def test_numpy_arrays_counters_and_ordered_dicts_are_kept() -> None:
    found = through_a_file([np.arange(3), np.float64(0.5), Counter({2: 1, 4: 2}), OrderedDict(a=1)])
    assert found[0].tolist() == [0, 1, 2]
    assert found[0].dtype == np.int64
    assert float(found[1]) == 0.5
    assert found[2] == Counter({2: 1, 4: 2})
    assert type(found[2]) is Counter
    assert found[3] == {"a": 1}


class Custom(dict[str, int]):
    pass


@pytest.mark.parametrize(
    "value",
    [object(), {1, 2}, lambda: 1, b"x", Custom(a=1), 1j, torch.nn.Linear(1, 1)],
    ids=lambda value: type(value).__name__,
)
def test_what_is_neither_is_refused_with_its_place_and_type(value: object) -> None:
    with pytest.raises(CheckpointError, match=r"^optimizer\.state\.0\.extra is of type ") as caught:
        pack({"state": {0: {"extra": value}}}, "optimizer")
    assert type(value).__qualname__ in caught.value.message


def test_two_keys_that_read_alike_are_refused() -> None:
    with pytest.raises(CheckpointError, match=r"two tensors are at s\.1"):
        pack({1: torch.ones(1), "1": torch.ones(1)}, "s")
