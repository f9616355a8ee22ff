"""The reading of tables that the other tests stand on: it takes what is right, and nothing else."""

from __future__ import annotations

import pytest

from present.reading import quantity, read_pairs, read_table, shows

TABLE = """head  value

name   text     n
-----  -----  ---
a      one    1.5
       two
b-c    three    –
"""


def test_a_table_is_read_with_its_wrapped_cells() -> None:
    assert read_table(TABLE, "name", "text", "n") == [
        {"name": "a", "text": "onetwo", "n": "1.5"}, {"name": "b-c", "text": "three", "n": "–"}
    ]  # fmt: skip
    with pytest.raises(AssertionError):
        read_table(TABLE, "name", "n", "text")


def test_a_cell_outside_its_column_is_refused() -> None:
    with pytest.raises(AssertionError, match="leaves its column"):
        read_table("a  b\n-  -\nxx x\n", "a", "b")


def test_pairs_are_read_with_the_lines_that_go_on() -> None:
    assert read_pairs("run   a b\n      c\nmore  d\n\nnothing here") == [[("run", "a b c"), ("more", "d")]]


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("98.76 %", 0.98764, "%"), ("1,234", 1234, ""), ("340 ms", 0.3401, "s"), ("2 min 05 s", 125.3, "s"),
        ("1 h 03 min", 3790, "s"), ("31.12 dB", 31.123, "dB"), ("1.2e-07", 1.23e-7, ""),
        ("4.1 kB", 4096, "B"),
        ("0.92 MiB", 960000, "B"), ("-0.5", -0.51, ""), ("–", float("nan"), "s"), ("3.91e+03 ms", 3.909, "s"),
    ],
)  # fmt: skip
def test_a_value_is_shown_by_its_rounding_in_its_unit(text: str, value: float, unit: str) -> None:
    assert shows(text, value, unit)
    assert text == "–" or not shows(text, value * 1.3, unit)
    assert text == "–" or not shows(text, value, "dB" if unit != "dB" else "")


def test_percentages_and_shares_are_told_apart() -> None:
    assert not shows("0.98", 0.98, "%")
    assert not shows("98.00 %", 0.98)
    assert not shows("–", 0.5)
    assert not shows("0", None)


def test_what_is_no_quantity_is_refused() -> None:
    for text in ("12,34", "1.2.3", "five", "1 parsec"):
        with pytest.raises((AssertionError, KeyError)):
            quantity(text)
