"""The convolutions' times and memory: each in its row, in milliseconds, as a ratio and in MiB; and drawn."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pytest

from golden_files import check_layout
from nnkit.present.bench_ops import bench_ops_table, write_bench_ops
from nnkit.results.bench_ops import BenchOpsResult
from present.conftest import drawn_figures
from present.reading import quantity, read_table, shows

HEADS = ("image", "convolution", "direction", "median", "× torch", "peak memory")


@pytest.mark.parametrize("width", [40, 80, 120])
def test_each_convolution_has_its_row_by_size_direction_and_time(
    operations: BenchOpsResult, width: int
) -> None:
    rows = read_table(bench_ops_table(operations, width=width), *HEADS)
    cells = sorted(operations.cells, key=lambda cell: (cell["size"], cell["direction"], cell["median_s"]))
    assert {cell["noisy"] for cell in cells} == {True, False}
    for row, cell in zip(rows, cells, strict=True):
        assert (row["image"], row["convolution"]) == (f"{cell['size']}×{cell['size']}", cell["name"])
        assert row["direction"] == cell["direction"]
        assert row["median"].endswith("!") == cell["noisy"]
        median = quantity(spaced(row["median"].removesuffix("!")))
        assert median.unit == "s"
        assert median.value == pytest.approx(cell["median_s"], rel=6e-3)
        numbers = re.findall(r"[\d.]+", row["× torch"].replace(" ", ""))
        assert [float(number) for number in numbers] == pytest.approx(
            [cell["ratio"], *cell["ci95"]], abs=5.1e-3
        )
        assert shows(spaced(row["peak memory"]), cell["peak_bytes"], "B")


def spaced(text: str) -> str:
    """ "9.8ms", as a wrapped cell is joined, as "9.8 ms"."""
    return re.sub(r"(?<=\d)\s*(?=[a-zA-Z])", " ", text.strip())


def test_the_head_says_what_was_convolved(operations: BenchOpsResult) -> None:
    head = bench_ops_table(operations).splitlines()[0]
    assert head.startswith("batch 2, 1 → 2 channels, kernel 2×2, cpu, 1 thread")


def test_a_ratio_of_hundreds_is_a_whole_number(operations: BenchOpsResult) -> None:
    """As naive loops reach on a real clock."""
    document = operations.document()
    document["cells"] = [{**document["cells"][0], "ratio": 1234.5, "ci95": [99.994, 100.0]}]
    (row,) = read_table(bench_ops_table(BenchOpsResult.model_validate(document), width=120), *HEADS)
    assert row["× torch"] == "1,234 [99.99, 100]"


def test_the_layout_is_as_agreed(operations: BenchOpsResult) -> None:
    check_layout("present/bench-ops-120.txt", bench_ops_table(operations, width=120))


@pytest.fixture(scope="module")
def written(operations: BenchOpsResult, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("ops") / "new"
    with drawn_figures() as figures:
        paths = write_bench_ops(folder, operations)
    assert paths == [folder / "bench-ops.png", folder / "bench-ops.csv"]
    assert paths[0].read_bytes().startswith(b"\x89PNG")
    return folder, figures["bench-ops.png"]


def test_the_csv_has_a_row_per_cell_with_all_digits(
    written: tuple[Path, Any], operations: BenchOpsResult
) -> None:
    with (written[0] / "bench-ops.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = ("size", "direction", "name", "n", "median_s", "iqr_s", "ratio", "peak_bytes")
    assert rows == [{name: str(cell[name]) for name in columns} for cell in operations.cells]


def test_the_picture_has_a_line_per_convolution_and_direction_for_time_and_for_memory(
    written: tuple[Path, Any], operations: BenchOpsResult
) -> None:
    times, memory = written[1].axes
    for axes, value in (
        (times, lambda cell: cell["median_s"]),
        (memory, lambda cell: cell["peak_bytes"] / 2**20),
    ):
        lines = {line.get_label(): line for line in axes.get_lines()}
        wanted: dict[str, list[tuple[int, float]]] = {}
        for cell in operations.cells:
            wanted.setdefault(f"{cell['name']}, {cell['direction']}", []).append((cell["size"], value(cell)))
        assert {
            name: list(zip(line.get_xdata(), line.get_ydata(), strict=True)) for name, line in lines.items()
        } == wanted
        for name, line in lines.items():
            assert line.get_linestyle() == ("--" if "forward" in name else "-")
        assert len({line.get_color() for line in lines.values()}) == 3
        assert axes.get_xscale() == "log"
        assert [label.get_text() for label in axes.get_xticklabels()] == ["4", "33"]
    assert (times.get_title(loc="left"), times.get_ylabel()) == ("Time", "seconds, median")
    assert memory.get_title(loc="left") == "Memory"
    assert memory.get_ylabel().startswith("MiB")


def test_large_ratios_and_times_stay_whole_at_80_columns(operations: BenchOpsResult) -> None:
    """As nested loops reach: a number was broken after its comma, and 3.9 s were 3.91e+03 ms."""
    slow = operations.cells[0].model_copy(
        update={"name": "naive", "median_s": 3.91, "ratio": 5203.4, "ci95": (3101.2, 8252.3), "noisy": True}
    )
    text = bench_ops_table(operations.model_copy(update={"cells": (slow,)}), width=80)
    assert "5,203 [3,101, 8,252]" in text
    assert "3.9 s !" in text
    assert max(map(len, text.splitlines())) <= 80
    assert text.splitlines()[0].endswith(", 1 thread")
