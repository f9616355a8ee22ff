import csv

import pytest

from golden_files import check_golden
from nnkit.present.bench import bench_compare_table, bench_markdown, bench_table, write_bench

CELL = {
    "device": "cpu", "batch_size": 64, "num_workers": 0, "shuffle": False, "drop_last": False,
    "pin_memory": False, "error": None, "n": 5, "median_s": 0.01, "iqr_s": 0.0002, "mean_s": 0.0101,
    "noisy": False, "outliers": 0, "warm_up_s": 0.05, "images": 1000, "images_per_s": 100_000.0,
    "speedup": 50.0, "ci95": [48.0, 52.0], "floor_s": 0.004, "times_floor": 2.5, "samples_s": [0.01] * 5,
}  # fmt: skip
MISSING = {
    **CELL, "device": "cuda", "error": "unavailable: torch sees 0 CUDA devices",
    **dict.fromkeys(("n", "median_s", "iqr_s", "mean_s", "noisy", "outliers", "warm_up_s", "images")),
    **dict.fromkeys(("images_per_s", "speedup", "ci95", "floor_s", "times_floor", "samples_s")),
}  # fmt: skip
LOOP = {**CELL, "batch_size": 1, "median_s": 0.5, "images_per_s": 2000.0, "speedup": 1.0, "ci95": [1.0, 1.0]}
BREAK_EVEN = {"reference-loop": 12_345, "reference-batched": None}


def arm(name, fidelity, cells, **changes):
    row = {
        "name": name, "kind": "model", "takes": "float32 (B, C, H, W)", "compiled": False, "note": "",
        "train_s": None, "cells": cells,
        "fidelity": {"class": fidelity, "levels": {"differing": 43, "near_boundary": 43}},
        "break_even_images": dict.fromkeys(BREAK_EVEN),
    }  # fmt: skip
    return {**row, **changes}


DOCUMENT = {
    "environment": {
        "cpu": "A processor", "cores": 2, "threads": 2, "gpus": [],
        "versions": {"torch": "2.15", "torchvision": "0.29"},
    },
    "images": 1000, "dataset": "cifar-transform:source=synthetic", "loader": "memory", "repeats": 5,
    "pipeline": "resize(28),grayscale,hflip,vflip",
    "arms": [
        arm("reference-loop", "exact", [LOOP], kind="reference"),
        arm(
            "exact", "exact",
            [CELL, {**CELL, "batch_size": 256, "speedup": 80.0, "images_per_s": 160_000.0, "noisy": True}],
            kind="reference",
        ),
        arm("a|b <net>", "approximate", [CELL, MISSING], note="untrained weights", train_s=12.0,
            break_even_images=BREAK_EVEN),
    ],
    "comparisons": [
        {"a": "exact", "b": "reference-loop", "ratio": 80.0, "ci95": [78.0, 82.0], "verdict": "faster",
         "class": "exact", "replaces": True},
        {"a": "a|b <net>", "b": "reference-loop", "ratio": 1.01, "ci95": [0.9, 1.1],
         "verdict": "no difference", "class": "approximate", "replaces": False},
    ],
    "best": {"arm": "exact", "class": "exact", **CELL, "batch_size": 256, "images_per_s": 160_000.0},
}  # fmt: skip


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_table_says_speed_fidelity_best_and_break_even(width):
    check_golden(f"present/bench-{width}.txt", bench_table(DOCUMENT, width=width) + "\n")


def test_the_markdown_escapes_what_would_break_its_tables():
    text = bench_markdown(DOCUMENT)
    check_golden("present/bench.md", text)
    assert "a\\|b <net>" in text


def test_the_files_hold_every_cell_and_the_picture_opens(tmp_path):
    paths = write_bench(tmp_path / "new", DOCUMENT)
    assert [path.name for path in paths] == ["bench.json", "bench.csv", "bench.md", "bench.png"]
    with paths[1].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5
    assert rows[-1]["error"] == MISSING["error"]
    assert rows[1]["ci95_low"] == "48.0"
    assert paths[3].read_bytes().startswith(b"\x89PNG")
    one = {**DOCUMENT, "arms": [{**row, "cells": row["cells"][:1]} for row in DOCUMENT["arms"]]}
    assert write_bench(tmp_path / "bars", one)[3].read_bytes().startswith(b"\x89PNG")


def test_a_comparison_of_two_shows_regressions_and_another_machine():
    cell = {**CELL, "arm": "net", "change": 1.2, "ci95": [1.15, 1.25], "verdict": "slower"}
    document = {
        "cells": [{**cell, "regression": True}, {**cell, "arm": "other", "regression": False}],
        "differences": ["cpu: a and b"], "only_in_a": ["old"], "only_in_b": [],
    }  # fmt: skip
    check_golden("present/bench-compare.txt", bench_compare_table(document) + "\n")
