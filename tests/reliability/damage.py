"""Damage to a file: what tests do to each file that nnkit reads."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

VALUES: Sequence[Any] = (
    None, True, -1, 0, 2**70, 1e308, "", "x", "x" * 3000, "\0", "\ud800", "../../x", [], {}, [[]], {"": None},
)  # fmt: skip
"""What a value of a JSON file becomes."""
HUGE_HEADERS = (2**31, 2**62, 2**64 - 1)
"""Lengths that a safetensors file may claim for its header."""


def damaged(
    whole: bytes, others: Sequence[bytes], rng: np.random.Generator, number: int
) -> Iterator[tuple[str, bytes]]:
    """So many damaged contents of a file, with the kind of each; `others` are contents of other files."""
    kinds: dict[str, Callable[[], bytes]] = {
        "cut off": lambda: whole[: int(rng.integers(len(whole)))],
        "bits changed": lambda: _bits(whole, rng),
        "a stretch overwritten": lambda: _stretch(whole, rng),
        "emptied": lambda: b"",
        "zeros": lambda: bytes(len(whole)),
        "doubled": lambda: whole + whole,
        "another file": lambda: others[int(rng.integers(len(others)))],
    }
    weights = [0.2, 0.3, 0.2, 0.01, 0.01, 0.01, 0.07]
    if _is_json(whole):
        kinds["a value changed"] = lambda: _value(whole, rng)
    else:
        kinds["a huge header"] = lambda: struct.pack("<Q", HUGE_HEADERS[int(rng.integers(3))]) + whole[8:]
    weights.append(1 - sum(weights))
    for _ in range(number):
        kind = str(rng.choice(list(kinds), p=weights))
        if (content := kinds[kind]()) != whole:
            yield kind, content


def _bits(whole: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(whole)
    for at in rng.integers(0, len(whole), int(rng.integers(1, 8))):
        changed[at] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _stretch(whole: bytes, rng: np.random.Generator) -> bytes:
    changed, start = bytearray(whole), int(rng.integers(len(whole)))
    changed[start : start + 64] = rng.bytes(len(changed[start : start + 64]))
    return bytes(changed)


def _documents(whole: bytes) -> list[Any]:
    """The JSON documents of a file, or of its lines."""
    try:
        return [json.loads(whole)]
    except ValueError:
        return [json.loads(line) for line in whole.splitlines()]


def _is_json(whole: bytes) -> bool:
    try:
        return bool(_documents(whole))
    except ValueError:
        return False


def _value(whole: bytes, rng: np.random.Generator) -> bytes:
    """One value of a JSON file, or of JSON lines, replaced, or its key gone."""
    documents = _documents(whole)
    places = [place for document in documents for place in _places(document)]
    holder, key = places[int(rng.integers(len(places)))]
    if isinstance(holder, dict) and rng.random() < 0.15:
        del holder[key]
    else:
        holder[key] = VALUES[int(rng.integers(len(VALUES)))]
    return "".join(json.dumps(document) + "\n" for document in documents).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every value within a JSON document, as its holder and its key or index."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield value, key
        yield from _places(item)


def others_in(folder: Path, path: Path) -> list[bytes]:
    """The contents of the other files of a run."""
    found = (other for other in sorted(folder.rglob("*")) if other.is_file() and other != path)
    return [content for other in found if (content := other.read_bytes())]
