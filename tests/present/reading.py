"""Text for people read back: tables as rows of cells, "key  value" lines as pairs, cells as quantities."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

MISSING = "–"
Row = dict[str, str]
Pairs = list[tuple[str, str]]

_RULE = re.compile(r"-+(?:  -+)*")
_UNITS = {
    "": ("", 1.0),
    "%": ("%", 0.01),
    "ms": ("s", 1e-3),
    "s": ("s", 1.0),
    "dB": ("dB", 1.0),
    "B": ("B", 1.0),
    "kB": ("B", 1e3),
    "MB": ("B", 1e6),
    "GB": ("B", 1e9),
    "TB": ("B", 1e12),
    "MiB": ("B", 2.0**20),
    "images/s": ("images/s", 1.0),
}


@dataclass(frozen=True)
class Quantity:
    """A number as printed, in the unit's base (% as a share, ms as s); `step`: one of its last digit."""

    value: float
    unit: str
    step: float


def quantity(text: str) -> Quantity:
    """Read "98.76 %", "1,234", "340 ms", "2 min 05 s", "1 h 03 min", "31.12 dB", "0.05 MiB"."""
    if found := re.fullmatch(r"(\d+) (h|min) (\d\d) (min|s)", text):
        step = {"min": 60.0, "s": 1.0}[found[4]]
        return Quantity((60 * int(found[1]) + int(found[3])) * step, "s", step)
    found = re.fullmatch(r"([+-]?)([\d,]+)(?:\.(\d+))?(?:e([+-]\d\d))?(?: ([a-zA-Z%/]+))?", text)
    assert found is not None, f"{text!r} is no quantity"
    sign, whole, decimals, power, unit = found.groups(default="")
    base, factor = _UNITS[unit]
    if "," in whole:
        assert re.fullmatch(r"\d{1,3}(,\d{3})+", whole), f"{text!r} is grouped wrongly"
    step = factor * 10.0 ** (int(power or 0) - len(decimals))
    return Quantity(float(f"{sign}{int((whole + decimals).replace(',', ''))}") * step, base, step)


def shows(text: str, value: float | None, unit: str = "") -> bool:
    """Whether a cell shows a value, rounded to the digits that it has, in this unit ("%": of a share)."""
    if value is None or math.isnan(value):
        return text == MISSING
    if text == MISSING:
        return False
    found = quantity(text)
    return found.unit == unit and abs(found.value - value) <= 0.5001 * found.step + 1e-12 * abs(value)


def squeezed(text: object) -> str:
    """Text without its blanks: what a wrapped cell still says."""
    return "".join(str(text).split())


def read_table(text: str, *heads: str, may_be_empty: Collection[str] = ()) -> list[Row]:
    """The rows of the table with these heads, in this order, whether drawn as a grid or row by row.

    The parts of a wrapped cell are joined without blanks. Cells are never empty but in `may_be_empty`.
    """
    wanted = [squeezed(head) for head in heads]
    grids = [grid for grid in _grids(text) if [squeezed(head) for head in grid.heads] == wanted]
    assert len(grids) <= 1, f"{len(grids)} tables of {heads}"
    if grids:
        return grids[0].rows(heads, may_be_empty)
    blocks = [dict(block) for block in read_pairs(text) if [squeezed(key) for key, _ in block] == wanted]
    assert blocks, f"no table of {heads} in:\n{text}"
    return [dict(zip(heads, block.values(), strict=True)) for block in blocks]


def read_columns(text: str, first: str) -> dict[str, Row]:
    """The values of all tables whose first column has this head, by what stands in it and by head."""
    found: dict[str, Row] = {}
    for grid in _grids(text):
        if grid.heads[0] == first:
            for row in grid.rows(grid.heads, ()):
                found.setdefault(row[first], {}).update({k: v for k, v in row.items() if k != first})
    return found


def has_table(text: str, *heads: str) -> bool:
    """Whether a table with these heads is there."""
    wanted = [squeezed(head) for head in heads]
    grids = [[squeezed(head) for head in grid.heads] for grid in _grids(text)]
    return wanted in [*grids, *([squeezed(key) for key, _ in block] for block in read_pairs(text))]


def read_pairs(text: str) -> list[Pairs]:
    """The blocks of "key  value" lines; a value over several lines is joined with blanks."""
    blocks = [block.splitlines() for block in re.split(r"\n\n+", text)]
    return [_pairs(lines) for lines in blocks if _is_pairs(lines)]


def values(pairs: Pairs, key: str) -> list[str]:
    """All values of a key."""
    return [value for name, value in pairs if name == key]


@dataclass(frozen=True)
class _Grid:
    spans: Sequence[tuple[int, int]]
    heads: Sequence[str]
    lines: Sequence[str]

    def rows(self, names: Sequence[str], may_be_empty: Collection[str]) -> list[Row]:
        rows: list[Row] = []
        for line in self.lines:
            for start, end in zip([0, *(end for _, end in self.spans)], self.spans, strict=False):
                assert not line[start : end[0]].strip(), f"a cell leaves its column: {line!r}"
            cells = dict(zip(names, (line[a:b].strip() for a, b in self.spans), strict=True))
            if all(cell or name in may_be_empty for name, cell in cells.items()):
                rows.append(cells)
            else:
                assert rows, f"the first row lacks a cell: {line!r}"
                rows[-1] = {name: rows[-1][name] + cell for name, cell in cells.items()}
        return rows


def _grids(text: str) -> list[_Grid]:
    lines = text.splitlines()
    grids = []
    for place, line in enumerate(lines):
        if not _RULE.fullmatch(line):
            continue
        spans = [found.span() for found in re.finditer("-+", line)]
        spans[-1] = (spans[-1][0], 10_000)
        top = max((at for at in range(place) if not lines[at]), default=-1) + 1
        end = next((at for at in range(place, len(lines)) if not lines[at]), len(lines))
        titles = lines[top:place]
        heads = [" ".join(title[a:b].strip() for title in titles).strip() for a, b in spans]
        grids.append(_Grid(spans, heads, lines[place + 1 : end]))
    return grids


def _is_pairs(lines: Sequence[str]) -> bool:
    return bool(lines) and not any(_RULE.fullmatch(line) for line in lines) and _offset(lines) is not None


def _offset(lines: Sequence[str]) -> int | None:
    """The column where values begin, two blanks after the longest key; None where lines have no keys."""
    ends = [found.end() for line in lines if (found := re.match(r"\S+(?: \S+)*  +(?=\S)", line))]
    if not ends or lines[0].startswith(" "):
        return None
    at = ends[0]
    good = all(line[at - 2 : at].strip() == "" for line in lines)
    return at if good else None


def _pairs(lines: Sequence[str]) -> Pairs:
    at = _offset(lines)
    pairs: Pairs = []
    for line in lines:
        key, value = line[:at].strip(), line[at:].strip()
        if key:
            pairs.append((key, value))
        else:
            pairs[-1] = (pairs[-1][0], f"{pairs[-1][1]} {value}".strip())
    return pairs


def in_order(text: str, *words: str) -> bool:
    """Whether these words stand in the text, each after the one before it."""
    places = [text.find(word) for word in words]
    return -1 not in places and all(a < b for a, b in pairwise(places))
