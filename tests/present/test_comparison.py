"""A comparison's table is pinned to the letter, and its picture's data beside it holds every seed."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from golden_files import check_golden
from nnkit.present.comparison import comparison_table, write_comparison


def described(*values: float | None, half: float = 0.004) -> dict[str, Any]:
    known = [value for value in values if value is not None]
    mean = sum(known) / len(known) if known else None
    ends = [mean - half, mean + half] if mean is not None and len(known) > 1 else None
    return {"mean": mean, "ci95": ends, "values": list(values)}


def result(pooling: str, width: int, parameters: int, *values: float | None) -> dict[str, Any]:
    sizes = {"32x32": -0.01, "48x48": 0.0, "64x64": 0.005}
    return {
        "pooling": pooling,
        "width": width,
        "parameters": parameters,
        "accuracy": described(*values),
        "by_resolution": {
            key: described(*(None if value is None else value + shift for value in values))
            for key, shift in sizes.items()
        },
        "cells": [],
    }


COMPARED: dict[str, Any] = {
    "run_dir": "runs/compare-pooling/20261120-141800-mnist-varres-varres-net-3fa9c1",
    "dataset": "mnist-varres",
    "model": "varres-net",
    "vary": "width",
    "epochs": 15,
    "seeds": [0, 1, 2],
    "budget": 29066,
    "results": [
        result("max", 81, 29029, 0.985, 0.987, 0.986),
        result("avg", 81, 29029, 0.972, 0.975, 0.974),
        result("gem:p=3", 81, 29029, 0.984, None, 0.985),
    ],
    "comparisons": [
        {
            "a": "max",
            "b": "avg",
            "difference": 0.0123,
            "ci95": [0.009, 0.0156],
            "verdict": "max better by 1.23 points (95 % 0.90 to 1.56)",
        },
        {
            "a": "max",
            "b": "gem:p=3",
            "difference": 0.001,
            "ci95": [-0.002, 0.004],
            "verdict": "no difference shown",
        },
        {"a": "avg", "b": "gem:p=3", "difference": None, "ci95": None, "verdict": None},
    ],
    "winner": None,
    "failed": [{"pooling": "gem:p=3", "seed": 1, "error": "out of memory", "exit_code": 1}],
    "seconds": 1800.0,
}


@pytest.mark.parametrize("width", [80, 40])
def test_the_table_of_a_comparison(width: int) -> None:
    text = comparison_table(COMPARED, width=width)
    check_golden(f"present/comparison-{width}.txt", text)


def test_a_winner_is_named_and_the_lack_of_one_explained() -> None:
    two = COMPARED | {"results": COMPARED["results"][:2], "comparisons": COMPARED["comparisons"][:1]}
    assert comparison_table(two | {"winner": "max"}).splitlines()[-1] == "winner  max"
    one_seed = two | {"comparisons": [COMPARED["comparisons"][2]]}
    assert "at least two seeds" in comparison_table(one_seed).splitlines()[-1]
    alone = COMPARED | {"results": COMPARED["results"][:1], "comparisons": []}
    assert "nobody to beat" in comparison_table(alone).splitlines()[-1]


def test_the_picture_stands_beside_its_data(tmp_path: Path) -> None:
    picture, data = write_comparison(tmp_path / "figures", COMPARED)
    with Image.open(picture) as image:
        image.load()
        assert image.width > 900
        extremes = image.convert("L").getextrema()
    assert extremes[0] < extremes[1]
    with data.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 4
    assert [rows[0][key] for key in ("pooling", "resolution", "seed_1")] == ["max", "all", "0.987"]
    assert float(rows[0]["ci95_low"]) == COMPARED["results"][0]["accuracy"]["ci95"][0]
    assert rows[8]["seed_1"] == ""


def test_one_size_and_one_seed_are_drawn_and_nothing_is_not(tmp_path: Path) -> None:
    single = [{**result("max", 81, 29029, 0.98), "by_resolution": {}}]
    written = write_comparison(tmp_path, COMPARED | {"seeds": [0], "results": single})
    assert [path.name for path in written] == ["comparison.png", "comparison.csv"]
    none = [result("max", 81, 29029, None)]
    assert write_comparison(tmp_path, COMPARED | {"seeds": [0], "results": none}) == []
