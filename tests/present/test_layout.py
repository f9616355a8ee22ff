"""Plain tables keep to a width: cells wrap, and what still does not fit is stacked row by row."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from nnkit.present.layout import fits, key_values, table, wide_table
from present.reading import read_pairs, read_table, squeezed

words = st.text("abc–é:/=,.-_", min_size=1, max_size=30).filter(lambda word: word.strip("-") and word != "–")
texts = st.lists(words, min_size=1, max_size=6).map(" ".join)
numbers = st.integers(0, 10**9)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(words, texts, numbers), min_size=1, max_size=5), st.sampled_from([30, 40, 60, 120]))
def test_every_cell_is_found_again_at_any_width(rows: list[tuple[str, str, int]], width: int) -> None:
    found = read_table(
        table(rows, ["name", "some text", "number"], align="nlr", width=width), "name", "some text", "number"
    )
    assert [tuple(map(squeezed, row.values())) for row in found] == [
        (squeezed(name), squeezed(text), f"{number:,}") for name, text, number in rows
    ]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=5), st.integers(40, 100))
def test_a_table_of_text_keeps_to_its_width(rows: list[tuple[str, str]], width: int) -> None:
    drawn = table(rows, ["a", "b"], align="ll", width=width)
    assert max(map(len, drawn.splitlines())) <= width


def test_text_stands_at_the_left_and_numbers_at_the_right() -> None:
    drawn = table([["a", 1, 2.5], ["bcd", 10000, 12.25]], ["n", "count", "loss"])
    assert drawn.splitlines() == [
        "n     count   loss",
        "---  ------  -----",
        "a         1  2.500",
        "bcd  10,000  12.25",
    ]


def test_a_column_is_of_numbers_where_all_that_is_known_are_numbers() -> None:
    drawn = table([[1, None, True], [None, "x", False]], ["num", "mixed", "on"])
    assert drawn.splitlines() == ["num  mixed  on", "---  -----  ---", "  1  –      yes", "  –  x      no"]


def test_the_widest_text_wraps_first_and_names_stay_whole() -> None:
    drawn = table(
        [["a-long-name-it-is", "one two three four five six", "short"]],
        ["n", "a", "b"],
        align="nll",
        width=45,
    )
    assert drawn.splitlines() == [
        "n                  a                    b",
        "-----------------  -------------------  -----",
        "a-long-name-it-is  one two three four   short",
        "                   five six",
    ]


def test_where_wrapping_is_not_enough_each_row_is_a_block() -> None:
    drawn = table([["name" * 5, "text " * 9], ["other", "text"]], ["n", "words"], align="nl", width=30)
    blocks = read_pairs(drawn)
    assert blocks == [
        [("n", "name" * 5), ("words", ("text " * 9).strip())], [("n", "other"), ("words", "text")]
    ]  # fmt: skip


def test_a_table_fits_to_the_letter() -> None:
    rows, heads = [["abc", 1234], ["d", None]], ["n", "m"]
    assert fits(rows, heads, "nr", len("abc  1,234"))
    assert not fits(rows, heads, "nr", len("abc  1,234") - 1)
    assert fits([["a", 1]], ["n", "a long head"], "nr", len("n  a long head"))
    assert not fits([["a", 1]], ["n", "a long head"], "nr", len("n  a long head") - 1)


def test_text_that_wraps_fits_down_to_twelve_letters() -> None:
    row = [["x" * 40, 1]]
    assert fits(row, ["text", "n"], "lr", 12 + 2 + 1)
    assert not fits(row, ["text", "n"], "lr", 12 + 2)


def test_cells_carry_no_escapes_and_keep_what_looks_like_a_number() -> None:
    drawn = table([["\x1b[31mred\x1b[0m\a\n", "1e5", "007"]], ["a", "b", "c"])
    assert drawn.splitlines()[-1].split() == ["red", "1e5", "007"]
    assert all(letter.isprintable() for line in drawn.splitlines() for letter in line)


def test_what_is_missing_is_a_dash() -> None:
    assert table([[None, math.nan]], ["a", "b"]).splitlines()[-1].split() == ["–", "–"]


def test_a_value_wraps_between_words_and_a_path_stays_whole() -> None:
    drawn = key_values([("run", "x" * 60), ("why", "a b " * 20)], width=40).splitlines()
    assert drawn[0] == "run  " + "x" * 60
    assert drawn[1] == "why  " + ("a b " * 9).strip()
    assert max(map(len, drawn[1:])) <= 40


def test_nothing_makes_heads_alone_or_nothing() -> None:
    assert table([], ["a", "b"]).splitlines() == ["a  b", "-  -"]
    assert key_values([]) == ""


def test_a_word_that_would_pass_the_edge_by_a_letter_goes_to_the_next_line() -> None:
    assert key_values([("k", "abcdef ghijkl")], width=15).splitlines() == ["k  abcdef", "   ghijkl"]
    assert key_values([("k", "abcde ghijkl")], width=15).splitlines() == ["k  abcde ghijkl"]
    assert table([["abcdef ghijkl"]], ["t"], align="l", width=12).splitlines()[2:] == ["abcdef", "ghijkl"]
    assert table([["abcde ghijkl"]], ["t"], align="l", width=12).splitlines()[2:] == ["abcde ghijkl"]


def test_a_wide_table_goes_on_below_and_leaves_out_rows_without_values() -> None:
    rows = [["train", "1", None, None], ["val", "2", "3", "4"]]
    heads = ["split", "loss", "a long heading", "another one"]
    assert wide_table(rows, heads, align="nrrr", width=80) == table(rows, heads, align="nrrr", width=80)
    first, second = wide_table(rows, heads, align="nrrr", width=30).split("\n\n")
    assert first.splitlines()[0].split() == ["split", "loss", "a", "long", "heading"]
    assert [line.split() for line in second.splitlines()] == [
        ["split", "another", "one"], ["-----", "-----------"], ["val", "4"]
    ]  # fmt: skip
