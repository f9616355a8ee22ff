"""Durations as text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnkit.durations import PATTERN, UNITS, largest_unit, seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30s", 30),
        ("5min", 300),
        ("0.5min", 30),
        ("1h", 3600),
        ("1.5h", 5400),
        ("30d", 2_592_000),
        ("2w", 1_209_600),
    ],
)
def test_a_number_with_its_unit_is_so_many_seconds(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    "text", ["", "30", "s", "0s", "0.0h", "-1d", "1e3s", "30 d", "90m", "30y", "٣d", "1d\n", "01d"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration such as 30s"):
        seconds(text)


@given(st.integers(1, 10**9 - 1), st.sampled_from(sorted(UNITS)))
def test_every_whole_number_of_a_unit_is_read(number: int, unit: str) -> None:
    assert seconds(f"{number}{unit}") == number * UNITS[unit]


@given(st.from_regex(PATTERN, fullmatch=True))
def test_what_the_pattern_matches_is_a_time_above_zero(text: str) -> None:
    assert re.fullmatch(PATTERN, text)
    assert 0 < seconds(text) < 10**9 * UNITS["w"]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "120 min"),
        (7200, "2 h"),
        (172_800, "2 d"),
        (1_209_600, "2 w"),
    ],
)
def test_a_time_is_told_in_the_largest_unit_of_which_it_has_two(number: float, text: str) -> None:
    assert largest_unit(number) == text
