"""Where two runs part first: in a record of the log, in a value of a tensor, in the summary."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from nnkit.results.runs_verify import FirstDifference, Place, Value

_MISSING = object()


def in_records(
    stored: Sequence[Mapping[str, Any]], repeated: Sequence[Mapping[str, Any]]
) -> FirstDifference | None:
    """The first record and key that differ; of a record that only one has, its first value."""
    for at in range(max(len(stored), len(repeated))):
        ours, theirs = (records[at] if at < len(records) else {} for records in (stored, repeated))
        found = _in_leaves(dict(_leaves(ours)), dict(_leaves(theirs)))
        if found is not None:
            key, before, after = found
            where = ours or theirs
            epoch, step = (where.get(name) for name in ("epoch", "step"))
            return FirstDifference(
                place="metrics.jsonl", epoch=epoch, step=step, key=key, stored=before, repeated=after
            )
    return None


def in_summaries(stored: Mapping[str, Any], repeated: Mapping[str, Any]) -> FirstDifference | None:
    """The first key that differs."""
    found = _in_leaves(dict(_leaves(stored)), dict(_leaves(repeated)))
    if found is None:
        return None
    key, before, after = found
    return FirstDifference(
        place="summary.json", epoch=None, step=None, key=key, stored=before, repeated=after
    )


def in_tensors(
    place: Place, epoch: int, stored: Mapping[str, Tensor], repeated: Mapping[str, Tensor]
) -> FirstDifference | None:
    """The first value, in the order of the model's own tensors, whose bits differ; else None."""
    for name in dict.fromkeys([*stored, *repeated]):
        found = _in_tensor(name, stored.get(name), repeated.get(name))
        if found is not None:
            key, before, after = found
            return FirstDifference(
                place=place, epoch=epoch, step=None, key=key, stored=before, repeated=after
            )
    return None


def _in_tensor(name: str, stored: Tensor | None, repeated: Tensor | None) -> tuple[str, Value, Value] | None:
    if stored is None or repeated is None or stored.shape != repeated.shape or stored.dtype != repeated.dtype:
        return name, _kind(stored), _kind(repeated)
    # as bytes: -0.0 and 0.0 are not the same bits, and a NaN is equal to itself
    different = (_bytes(stored) != _bytes(repeated)).any(dim=1).nonzero()
    if not len(different):
        return None
    place = tuple(int(axis) for axis in torch.unravel_index(different[0, 0], stored.shape))
    key = f"{name}[{', '.join(map(str, place))}]" if place else name
    return key, _value(stored[place].item()), _value(repeated[place].item())


def _kind(tensor: Tensor | None) -> str | None:
    """What a tensor is: "float32 (4, 1, 2, 3)"."""
    return None if tensor is None else f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _bytes(tensor: Tensor) -> Tensor:
    """uint8 (values, bytes of each)."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).reshape(flat.numel(), flat.element_size())


def _in_leaves(stored: Mapping[str, Any], repeated: Mapping[str, Any]) -> tuple[str, Value, Value] | None:
    for key in dict.fromkeys([*stored, *repeated]):
        before, after = stored.get(key, _MISSING), repeated.get(key, _MISSING)
        if before != after:
            return key, _value(before), _value(after)
    return None


def _leaves(value: object, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that is no object and no list, by its dotted place."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{place}.{key}" if place else str(key))
    elif isinstance(value, (list, tuple)):
        for at, item in enumerate(value):
            yield from _leaves(item, f"{place}[{at}]")
    else:
        yield place, value


def _value(value: object) -> Value:
    if value is None or value is _MISSING or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value if isinstance(value, (int, float, str)) and not isinstance(value, bool) else str(value)
