"""Tables: plain text that keeps to a width, or HTML.

In plain text cells wrap, and what still does not fit is stacked row by row. Within `as_html` the same
functions give HTML, of any width.
"""

from __future__ import annotations

import contextlib
import html
import re
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar

from tabulate import tabulate

from nnkit.present.text import MISSING, clean, count, is_missing, number

WIDTH = 80
_GAP = 2
_NARROWEST = 12
"""A column that wraps keeps at least this many characters."""

_is_html = ContextVar("is_html", default=False)

Align = str
"""One letter per column: "l" text, which wraps; "n" a name, never wrapped; "r" a number, at the right."""


@contextlib.contextmanager
def as_html() -> Iterator[None]:
    """Have the functions here give HTML in the block."""
    token = _is_html.set(True)
    try:
        yield
    finally:
        _is_html.reset(token)


def table(
    rows: Iterable[Sequence[object]],
    headers: Sequence[str],
    *,
    align: Align | None = None,
    width: int = WIDTH,
) -> str:
    """A table of at most `width` columns where its names and numbers allow one; "–" for what is missing.

    `align` has a letter per column (see `Align`); left out, columns of numbers are right-aligned and the
    others wrap. Where wrapping is not enough each row becomes a block of "header  value" lines.
    """
    raw = [list(row) for row in rows]
    letters = align or "".join(_letter([row[place] for row in raw]) for place in range(len(headers)))
    cells = [[_cell(value) for value in row] for row in raw]
    aligned = ["right" if letter == "r" else "left" for letter in letters]
    if _is_html.get():
        return tabulate(cells, headers, tablefmt="html", disable_numparse=True, colalign=aligned)
    columns = [[header, *(row[place] for row in cells)] for place, header in enumerate(headers)]
    widths = _fit([max(map(len, column)) for column in columns], letters, width)
    if widths is None:
        return "\n\n".join(key_values(zip(headers, row, strict=True), width=width) for row in cells)
    wrapped = [["\n".join(_wrap(cell, at)) for cell, at in zip(row, widths, strict=True)] for row in cells]
    titles = ["\n".join(_wrap(header, at)) for header, at in zip(headers, widths, strict=True)]
    # The look of tabulate's "simple" without the two columns that it adds to each header.
    rule = ["-" * at for at in widths]
    drawn = tabulate([titles, rule, *wrapped], tablefmt="plain", disable_numparse=True, colalign=aligned)
    return _trim(drawn)


def fits(rows: Iterable[Sequence[object]], headers: Sequence[str], align: Align, width: int = WIDTH) -> bool:
    """Whether a table would keep to the width without stacking its rows."""
    if _is_html.get():
        return True
    columns = zip(headers, *([_cell(value) for value in row] for row in rows), strict=True)
    return _fit([max(map(len, column)) for column in columns], align, width) is not None


def wide_table(
    rows: Iterable[Sequence[object]], headers: Sequence[str], *, align: Align, width: int = WIDTH
) -> str:
    """As `table`, but columns that do not fit go to further tables, each beginning with the first column.

    In those, rows without a value are left out.
    """
    cells = [[_cell(value) for value in row] for row in rows]
    if fits(cells, headers, align, width):
        return table(cells, headers, align=align, width=width)
    groups: list[list[int]] = [[]]
    for place in range(1, len(headers)):
        columns = [0, *groups[-1], place]
        picked = [[row[at] for at in columns] for row in cells]
        heads, letters = [headers[at] for at in columns], "".join(align[at] for at in columns)
        if groups[-1] and not fits(picked, heads, letters, width):
            groups.append([])
        groups[-1].append(place)
    parts = []
    for group in groups:
        known = [row for row in cells if any(row[at] != MISSING for at in group)]
        columns = [0, *group]
        parts.append(
            table(
                [[row[at] for at in columns] for row in known],
                [headers[at] for at in columns],
                align="".join(align[at] for at in columns),
                width=width,
            )
        )
    return "\n\n".join(parts)


def key_values(pairs: Iterable[tuple[str, object]], *, width: int = WIDTH) -> str:
    """Lines of "key  value". Values wrap between words; a path stays whole, so that it can be copied."""
    cells = [(clean(key), _cell(value)) for key, value in pairs]
    if _is_html.get():
        return tabulate(cells, tablefmt="html", disable_numparse=True)
    left = max((len(key) for key, _ in cells), default=0)
    room = max(width - left - _GAP, _NARROWEST)
    rows = [(key, "\n".join(_wrap(value, room, split_words=False))) for key, value in cells]
    return _trim(tabulate(rows, tablefmt="plain", disable_numparse=True))


def joined(*parts: str) -> str:
    """The parts that are not empty, with a blank line between; in HTML, text becomes paragraphs."""
    if _is_html.get():
        return "\n".join(_paragraphs(part) for part in parts if part)
    return "\n\n".join(part for part in parts if part)


def _paragraphs(part: str) -> str:
    """HTML as it is; text as paragraphs, with its line breaks."""
    if part.startswith("<"):
        return part
    lines = (html.escape(text).replace("\n", "<br>") for text in part.split("\n\n"))
    return "\n".join(f"<p>{text}</p>" for text in lines)


def _letter(values: Sequence[object]) -> str:
    numbers = [isinstance(value, int | float) and not isinstance(value, bool) for value in values]
    known = [is_number for is_number, value in zip(numbers, values, strict=True) if value is not None]
    return "r" if known and all(known) else "l"


def _cell(value: object) -> str:
    if is_missing(value):
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return count(value)
    return number(value) if isinstance(value, float) else clean(value)


def _fit(natural: Sequence[int], letters: Align, width: int) -> list[int] | None:
    """Column widths that add up to at most `width`, the widest text giving way first; None if none do."""
    widths = list(natural)
    excess = sum(widths) + _GAP * (len(widths) - 1) - width
    soft = [place for place, letter in enumerate(letters) if letter == "l"]
    for _ in range(max(excess, 0)):
        place = max(soft, key=lambda at: widths[at], default=-1)
        if place < 0 or widths[place] <= _NARROWEST:
            return None
        widths[place] -= 1
    return widths


def _wrap(text: str, width: int, *, split_words: bool = True) -> list[str]:
    """Lines of a text, broken at spaces, else after punctuation, else anywhere."""
    pattern = r"\s*[^\s./:,=_-]*[./:,=_-]+|\s*[^\s./:,=_-]+" if split_words else r"\s*\S+"
    lines = [""]
    for piece in re.findall(pattern, text):
        if len(lines[-1]) + len(piece) > width and lines[-1]:
            lines.append("")
        rest = (lines.pop() + piece).lstrip()
        while split_words and len(rest) > width:
            lines.append(rest[:width])
            rest = rest[width:]
        lines.append(rest)
    return lines


def _trim(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines())
