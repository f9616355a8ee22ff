"""Tables are pinned to the letter, at the width of a terminal and at half of it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from golden_files import check_golden
from nnkit.present import tables

RUN = "runs/train/20261120-141800-mnist-varres-varres-net-3fa9c1"
TEST = {
    "loss": 0.0512,
    "accuracy": 0.9889,
    "accuracy_by_resolution": {"32x32": 0.97, "48x48": 0.98, "64x64": math.nan},
    "loss_by_resolution": {"32x32": 0.1, "48x48": 0.08},
}
TRAINED: dict[str, Any] = {
    "run_dir": RUN,
    "dataset": "mnist-varres:mode=bucket",
    "model": "varres-net:width=81,pooling=max",
    "loss": "cross-entropy",
    "parameters": 29029,
    "epochs": 15,
    "stopped_by": "patience: val_loss did not improve by 0.0001 in 4 epochs",
    "best": {
        "epoch": 11,
        "metric": "val_accuracy",
        "metrics": {
            "train_loss": 0.012345,
            "train_accuracy": 0.9987,
            "val_loss": 0.05,
            "val_accuracy": 0.98765,
        },
    },
    "test": TEST,
    "seconds": 185.2,
    "images_per_s": 12345.6,
}
TRANSFORMED = TRAINED | {
    "stopped_by": None,
    "best": {"epoch": 1, "metric": "val_loss", "metrics": {"val_loss": 1e-7}},
    "solver": {
        "name": "als",
        "solver_s": 0.6,
        "images": 500,
        "iterations": 24,
        "dropped": {"energy_share": 1e-15, "largest": 1.6e-8},
        "notes": ["band=3 dropped 1e-15 of the matrices' energy; the largest entry dropped is 1.6e-08"],
    },
    "test": {
        "loss": 1.2e-7,
        "mae_sum": 0.1,
        "max_abs_error": 0.001,
        "psnr": 69.1,
        "cosine_accuracy": 1.0,
        "levels": {"differing": 12, "near_boundary": 12},
        "fidelity": {"class": "exact", "max_abs_error": 0.001, "mae_sum": 0.1},
    },
}
DIGITS = [str(digit) for digit in range(10)]
EVALUATED = {
    "run_dir": RUN,
    "dataset": "mnist-varres",
    "split": "test",
    "images": 10000,
    "metrics": TEST,
    "per_class": [
        {"name": name, "count": 1000, "precision": 0.98, "recall": 0.97, "accuracy": 0.97} for name in DIGITS
    ],
    "class_names": DIGITS,
    "confusion": {"all": [[980 if i == j else i * j % 5 for j in range(10)] for i in range(10)]},
}
COMPONENTS = [
    {"group": "models", "name": "conv-linear", "provider": "nnkit", "version": "0.1.0", "target": "a.b:C"},
    {
        "group": "poolings",
        "name": "gem",
        "provider": "gems",
        "version": "2",
        "target": "g:G",
        "error": "two of it",
    },
]
SETTINGS = [
    {
        "name": "width",
        "type": "int",
        "default": "64",
        "help": "Channels of the last convolution, where it grows.",
    },
    {"name": "pooling", "type": "component of poolings", "default": '"max"'},
]
RUNS = [
    {
        "name": "20261120-141800-mnist-mnist-convnet-3fa9c1",
        "state": "done",
        "dataset": "mnist",
        "model": "mnist-convnet",
        "metric": "val_accuracy",
        "best": 0.99,
        "epochs": 8,
        "seconds": 75.2,
        "started": "2026-11-20 14:18",
    },
    {"name": "first-try", "state": "running", "metric": "val_loss", "best": None, "seconds": 3723},
]
DRAWN = {
    "train": lambda width: tables.train_table(TRAINED, width=width),
    "train-transform": lambda width: tables.train_table(TRANSFORMED, width=width),
    "evaluate": lambda width: tables.evaluate_table(EVALUATED, width=width),
    "components": lambda width: tables.components_table(COMPONENTS, width=width),
    "settings": lambda width: tables.settings_table(SETTINGS, width=width),
    "runs": lambda width: tables.runs_table(RUNS, width=width),
}


@pytest.mark.parametrize("width", [80, 40])
@pytest.mark.parametrize("name", DRAWN)
def test_tables_are_as_they_were(name: str, width: int) -> None:
    check_golden(f"present/{name}-{width}.txt", DRAWN[name](width))


@pytest.mark.parametrize("width", [120, 80, 60, 40])
@pytest.mark.parametrize("name", DRAWN)
def test_only_a_name_that_must_stay_whole_is_wider_than_the_width(name: str, width: int) -> None:
    for line in DRAWN[name](width).splitlines():
        assert len(line) <= width or len(line.split()[-1]) > width - 15, line


def test_the_long_confusion_matrix_becomes_the_most_frequent_confusions() -> None:
    confusion = [[0] * 13 for _ in range(13)]
    confusion[3][4] = 7
    names = [f"class {place}" for place in range(13)]
    drawn = tables.evaluate_table({"confusion": confusion, "class_names": names})
    assert drawn.splitlines()[-1].split() == ["class", "3", "class", "4", "7"]


def test_results_with_nothing_in_them_still_make_text() -> None:
    assert "–" in tables.train_table({})
    assert tables.evaluate_table({}) == ""
    assert "name" in tables.runs_table([])
    assert tables.components_table([])
    assert tables.table([], ["a", "b"]).splitlines()[0] == "a  b"
    assert tables.key_values([]) == ""


def test_cells_carry_no_escapes_and_keep_what_looks_like_a_number() -> None:
    drawn = tables.table([["\x1b[31mred\x1b[0m\a\n", "1e5", "007"]], ["a", "b", "c"])
    assert drawn.splitlines()[-1].split() == ["red", "1e5", "007"]
    assert all(letter.isprintable() for line in drawn.splitlines() for letter in line)


def test_what_is_missing_is_a_dash_and_numbers_stand_at_the_right() -> None:
    drawn = tables.table([[1, 2.5, None], [10000, math.nan, True]], ["n", "loss", "on"])
    assert drawn.splitlines()[2:] == ["     1  2.500  –", "10,000      –  yes"]


def test_a_path_stays_whole_where_words_wrap() -> None:
    assert (
        tables.key_values([("run", "x" * 60), ("why", "a b " * 20)], width=40).splitlines()[0]
        == "run  " + "x" * 60
    )
