"""Numbers and names as people read them."""

from __future__ import annotations

import math

import pytest

from nnkit.present import text


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 ms"),
        (0.00051, "0.51 ms"),
        (0.34, "340 ms"),
        (0.9996, "1.0 s"),
        (12.34, "12.3 s"),
        (59.96, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3599.7, "1 h 00 min"),
        (3780, "1 h 03 min"),
        (math.nan, "–"),
        (None, "–"),
        (math.inf, "inf s"),
        (-1, "-1.000 s"),
        (3599.4, "59 min 59 s"),
        (7229, "2 h 00 min"),
        (7231, "2 h 01 min"),
    ],
)
def test_durations_are_said_in_the_units_that_suit_them(seconds: float | None, said: str) -> None:
    assert text.duration(seconds) == said


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.1, "0.1000"),
        (1234.5, "1234"),
        (1.2e-7, "1.200e-07"),
        (0, "0"),
        (16930.4, "16,930"),
        (9999.4, "9999"),
        (math.inf, "inf"),
        (math.nan, "–"),
    ],
)
def test_numbers_have_four_significant_digits(value: float, written: str) -> None:
    assert text.number(value) == written


def test_shares_are_percentages_and_counts_have_separators() -> None:
    assert text.percent(0.98764) == "98.76 %"
    assert text.percent(None) == text.count(math.nan) == "–"
    assert text.count(2409232) == "2,409,232"


@pytest.mark.parametrize(
    ("name", "value", "written"),
    [
        ("val_accuracy", 0.5, "50.00 %"),
        ("loss", 0.5, "0.5000"),
        ("train_s", 61.0, "1 min 01 s"),
        ("images_per_s", 1234.5, "1,234"),
        ("psnr", 31.123, "31.12 dB"),
        ("differing", 1234, "1,234"),
        ("val_precision", 0.25, "25.00 %"),
        ("recall", 1.0, "100.00 %"),
        ("seconds", 0.25, "250 ms"),
        ("val_psnr", 40.0, "40.00 dB"),
        ("mae_sum", 12.0, "12.00"),
        ("values differing", 0, "0"),
        ("loss", math.nan, "–"),
        ("accuracy", None, "–"),
    ],
)
def test_a_metric_is_written_as_its_name_asks(name: str, value: float | None, written: str) -> None:
    assert text.metric(name, value) == written


def test_clean_text_is_one_printable_line() -> None:
    assert text.clean("\x1b[1mbold\x1b[0m\r\n\ttab \udc80") == "bold   tab ?"


def test_a_long_name_loses_its_middle_and_keeps_both_ends() -> None:
    assert text.shorten("class number 12", 10) == "class…r 12"
    assert len(text.shorten("é" * 500, 12)) == 12
    assert text.shorten("short", 5) == "short"


def test_a_count_and_its_noun_agree() -> None:
    assert [text.counted(number, "thread") for number in (0, 1, 2, 1200)] == [
        "0 threads", "1 thread", "2 threads", "1,200 threads"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "ends", "said"),
    [
        ("val_accuracy", (0.981, 0.992), "98.10 to 99.20 %"),
        ("psnr", (30.0, 41.25), "30.00 to 41.25 dB"),
        ("val_loss", (0.123, 1.5), "0.1230 to 1.500"),
        ("val_accuracy", (math.nan, 0.5), "– to 50.00 %"),
        ("val_loss", None, "–"),
    ],
)
def test_an_interval_has_its_unit_once(name: str, ends: tuple[float, float] | None, said: str) -> None:
    assert text.interval(name, ends) == said
