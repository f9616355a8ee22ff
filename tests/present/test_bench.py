"""A benchmark's table, Markdown, CSV and picture hold what was measured, each value in its place and unit."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from golden_files import check_layout
from nnkit.present.bench import bench_markdown, bench_table, write_bench
from nnkit.present.bench_compare import bench_compare_table
from nnkit.results.bench import BenchResult
from nnkit.results.bench_compare import BenchCompareResult
from nnkit.results.train import TrainResult
from nnkit.studies.bench.compare import bench_compare
from present.conftest import drawn_figures
from present.reading import MISSING, Row, read_pairs, read_table, shows, squeezed, values

WIDTHS = [40, 80, 120, 200]
GRID = ("device", "batch", "workers", "shuffle", "drop last", "pinned")
KEYS = ("device", "batch_size", "num_workers", "shuffle", "drop_last", "pin_memory")
MEASURED = ("median", "images/s", "× loop", "95 %", "× floor")
Cell = tuple[Mapping[str, Any], Mapping[str, Any]]


def cells_of(document: Mapping[str, Any]) -> list[Cell]:
    return [(arm, cell) for arm in document["arms"] for cell in arm["cells"]]


def fastest(arm: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = arm.get("fastest_cell") or arm["cells"][0]
    return found


def word(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def check_row(row: Row, arm: Mapping[str, Any], cell: Mapping[str, Any]) -> None:
    """Every value that the row has, whichever columns are shown."""
    assert row["arm"] == squeezed(arm["name"])
    assert row.get("fidelity", arm["fidelity"]["class"]) == (arm["fidelity"]["class"] or MISSING)
    for head, key in zip(GRID, KEYS, strict=True):
        assert row.get(head, word(cell[key])) == word(cell[key]), (head, row)
    assert shows(row["images/s"], cell["images_per_s"])
    assert shows(row["× loop"], cell["speedup"])
    assert shows(row["× floor"], cell["times_floor"])
    if "median" in row:
        assert row["median"].endswith("!") == bool(cell["noisy"])
        assert shows(row["median"].removesuffix("!").strip(), cell["median_s"], "s")
    if "95 %" in row:
        assert is_interval(row["95 %"], cell["ci95"])


def is_interval(shown: str, ends: Sequence[float] | None) -> bool:
    if ends is None:
        return shown == MISSING
    low, _, high = shown.partition("to")
    return shows(low.strip(), ends[0]) and shows(high.strip(), ends[1])


def tables_of_arms(text: str) -> list[list[Row]]:
    """The tables whose first column is the arm, whatever columns have given way."""
    headings = re.findall(r"^(arm +fidelity.*|arm +device.*|arm +images/s.*)$", text, re.M)
    if not headings:  # row by row
        blocks = [dict(block) for block in read_pairs(text) if block[0][0] == "arm"]
        num = len({block["arm"] for block in blocks})
        return [blocks[:num], blocks[num:]] if len(blocks) > num else [blocks]
    tables = []
    for part in re.split(r"\n\n", text):
        if (first := part.splitlines()[0]) in headings:
            tables.append(read_table(part, *re.split(r"  +", first)))
    return tables


@pytest.mark.parametrize("width", range(40, 161, 8))
def test_each_arm_is_shown_at_its_fastest_and_then_every_cell(benchmarked: BenchResult, width: int) -> None:
    document = benchmarked.document()
    best, every = tables_of_arms(bench_table(benchmarked, width=width))
    assert len(best) == len(document["arms"]) == 6
    for row, arm in zip(best, document["arms"], strict=True):
        check_row(row, arm, fastest(arm))
    assert len(every) == len(cells_of(document)) == 2 + 4 * 8
    for row, (arm, cell) in zip(every, cells_of(document), strict=True):
        check_row(row, arm, cell)


def test_where_there_is_room_every_column_is_there_and_settings_only_where_they_differ(
    benchmarked: BenchResult,
) -> None:
    for rows in tables_of_arms(bench_table(benchmarked, width=200)):
        assert list(rows[0]) == ["arm", "fidelity", "device", "batch", "drop last", *MEASURED]


@pytest.mark.parametrize("width", [80, 120])
def test_on_a_narrow_terminal_the_device_the_speed_and_the_ratios_stay(
    benchmarked: BenchResult, width: int
) -> None:
    for rows in tables_of_arms(bench_table(benchmarked, width=width)):
        assert {"arm", "device", "batch", "drop last", "images/s", "× loop", "× floor"} <= set(rows[0])


def test_of_one_setting_there_is_one_table(benchmarked_once: BenchResult) -> None:
    document = benchmarked_once.document()
    (rows,) = tables_of_arms(bench_table(benchmarked_once, width=120))
    assert list(rows[0]) == ["arm", "fidelity", *MEASURED]
    for row, arm in zip(rows, document["arms"], strict=True):
        check_row(row, arm, arm["cells"][0])


@pytest.mark.parametrize("width", WIDTHS)
def test_the_head_says_what_was_timed_and_on_what(benchmarked: BenchResult, width: int) -> None:
    document = benchmarked.document()
    head = dict(read_pairs(bench_table(BenchResult.model_validate(document), width=width))[0])
    environment, versions = document["environment"], document["environment"]["versions"]
    assert squeezed(head["images"]) == squeezed(f"3 of {document['dataset']}")
    assert head["pipeline"] == document["pipeline"] == "resize(8),grayscale,hflip"
    assert (head["loader"], head["rounds"]) == ("memory", "5, interleaved")
    machine = [environment["cpu"], f"{environment['cores']} cores", *environment["gpus"]]
    assert all(part in head["machine"] for part in machine)
    assert f"{environment['threads']} thread" in head["machine"]
    assert f"torch {versions['torch']}" in head["versions"]
    assert f"torchvision {versions['torchvision']}" in head["versions"]


def test_noise_outliers_and_errors_are_told_of_below(benchmarked: BenchResult) -> None:
    document = benchmarked.document()
    text = bench_table(benchmarked, width=80)
    noisy = {arm["name"] for arm, cell in cells_of(document) if cell["noisy"]}
    assert 0 < len(noisy) < len(document["arms"])
    (line,) = (line for line in text.splitlines() if line.startswith("! noisy"))
    assert set(line.rpartition("median: ")[2].split(", ")) == noisy
    outliers = sum(cell["outliers"] or 0 for _, cell in cells_of(document))
    assert outliers > 0
    assert f"outliers, counted and kept: {outliers}\n" in text
    told = [line for line in text.splitlines() if ": unavailable: torch sees" in line]
    assert [line.partition(": unavailable")[0] for line in told] == [
        arm["name"] for arm in document["arms"] if len(arm["cells"]) > 1
    ]


def test_without_noise_and_errors_nothing_is_told_of_them(benchmarked_once: BenchResult) -> None:
    document = benchmarked_once.document()
    for _, cell in cells_of(document):
        cell["noisy"], cell["outliers"] = False, 0
    text = bench_table(BenchResult.model_validate(document), width=80)
    assert "noisy" not in text
    assert "outliers" not in text
    assert "unavailable" not in text


@pytest.mark.parametrize("markdown", [False, True])
def test_each_comparison_says_its_ratio_its_interval_and_whether_it_replaces_the_transforms(
    benchmarked: BenchResult, markdown: bool
) -> None:
    document = benchmarked.document()
    text = bench_markdown(benchmarked) if markdown else bench_table(benchmarked, width=80)
    wanted = []
    for pair in document["comparisons"]:
        interval = r"\(([\d.,]+) to ([\d.,]+)\)"
        said = rf"([\d.,]+) times the images/s of {pair['b']} {interval}"
        if pair["verdict"] == "no difference":
            said = rf"()no difference shown from {pair['b']} {interval}"
        end = "" if pair["replaces"] else ": it does not replace the transforms"
        wanted.append(rf"(?:- )?{re.escape(pair['a'])} \({pair['class']}\): {said}{end}")
    lines = [line for line in text.splitlines() if "images/s of" in line or "no difference" in line]
    for line, pattern, pair in zip(lines, wanted, document["comparisons"], strict=True):
        found = re.fullmatch(pattern, line)
        assert found, (line, pattern)
        ratio, low, high = found.groups()
        assert not ratio or shows(ratio, pair["ratio"])
        assert shows(low, pair["ci95"][0])
        assert shows(high, pair["ci95"][1])
    verdicts = Counter(pair["verdict"] for pair in document["comparisons"])
    assert set(verdicts) == {"faster", "slower", "no difference"}


@pytest.mark.parametrize("width", WIDTHS)
def test_the_conclusions_are_the_best_cell_the_break_even_the_levels_and_notes(
    benchmarked: BenchResult, paced: TrainResult, width: int
) -> None:
    document = benchmarked.document()
    last = read_pairs(bench_table(benchmarked, width=width))[-1]
    best = document["best"]
    assert best["class"] in ("exact", "half-level")
    (said,) = values(last, "best")
    arm, speed, setting = re.fullmatch(r"(.+): ([\d,]+) images/s at (.+)", said).groups()  # type: ignore[union-attr]
    assert arm == f"{best['arm']} ({best['class']})"
    assert shows(speed, best["images_per_s"])
    assert setting == ", ".join(f"{head} {word(best[key])}" for head, key in zip(GRID, KEYS, strict=True))

    even = values(last, "break-even")
    (run,) = (arm for arm in document["arms"] if arm["train_s"] is not None)
    assert len(even) == 2
    for line, (base, images) in zip(even, run["break_even_images"].items(), strict=True):
        found = re.fullmatch(
            rf"{run['name']}: (.+) of training, saved after ([\d,]+) images against {base}", line
        )
        assert found, line
        assert shows(found[1], paced.seconds, "s")
        assert shows(found[2], images)

    levels = {arm["name"]: arm["fidelity"]["levels"] for arm in document["arms"]}
    differing = {name: found for name, found in levels.items() if found and found["differing"]}
    assert values(last, "8-bit values") == [
        f"{name}: {found['differing']} differ, {found['near_boundary']} near a boundary"
        for name, found in differing.items()
    ]
    notes = [f"{arm['name']}: {arm['note']}" for arm in document["arms"] if arm["note"]]
    assert values(last, "note") == notes
    assert len(notes) == 2


@pytest.mark.parametrize("width", WIDTHS)
def test_which_rounds_chose_the_fastest_and_which_are_shown_is_told(
    benchmarked: BenchResult, width: int
) -> None:
    def remark(**changes: Any) -> str:
        document = {**benchmarked.document(), **changes}
        text = bench_table(BenchResult.model_validate(document), width=width)
        found = [line for line in text.splitlines() if "what is fastest is chosen" in line]
        return found[0] if found else ""

    assert remark().startswith("! 5 rounds are too few to part")
    halves = {"choosing_rounds": [2, 4, 6], "reported_rounds": [1, 3, 5, 7], "separate": True}
    assert "every second round, 3 of 7" in remark(selection=halves)
    assert "the other 4" in remark(selection=halves)
    assert not remark(selection=None)  # saved before the rounds were parted


def test_where_nothing_may_replace_the_transforms_there_is_no_best(benchmarked_once: BenchResult) -> None:
    document = {**benchmarked_once.document(), "best": None}
    assert "best" not in bench_table(BenchResult.model_validate(document), width=80)


def test_the_markdown_holds_the_same_tables_in_full(benchmarked: BenchResult) -> None:
    document = benchmarked.document()
    text = bench_markdown(benchmarked)
    assert text.startswith("# Benchmark\n\n- images: 3 of cifar-transform")
    best, every = pipe_tables(text)
    for row, arm in zip(best, document["arms"], strict=True):
        check_row(row, arm, fastest(arm))
    for row, (arm, cell) in zip(every, cells_of(document), strict=True):
        check_row(row, arm, cell)
    assert list(best[0]) == list(every[0]) == ["arm", "fidelity", "device", "batch", "drop last", *MEASURED]
    for name in ("loader: memory", "rounds: 5, interleaved", "pipeline: resize(8),grayscale,hflip"):
        assert f"\n- {name}\n" in text
    assert "\n- best: " in text


def pipe_tables(text: str) -> list[list[Row]]:
    tables = []
    for part in text.split("\n\n"):
        lines = part.splitlines()
        if lines and lines[0].startswith("|"):
            split = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
            tables.append([dict(zip(split[0], row, strict=True)) for row in split[2:]])
    return tables


def test_the_markdown_escapes_what_would_break_its_tables(benchmarked_once: BenchResult) -> None:
    """As a network from a file may be called."""
    document = benchmarked_once.document()
    document["arms"][3]["name"] = "a|b"
    (rows,) = pipe_tables(bench_markdown(BenchResult.model_validate(document)))
    assert [row["arm"] for row in rows] == ["reference-loop", "reference-batched", "pil-loop", "a\\|b"]


@pytest.fixture(scope="module")
def written(benchmarked: BenchResult, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("bench") / "new"
    with drawn_figures() as figures:
        paths = write_bench(folder, benchmarked)
    assert paths == [folder / name for name in ("bench.json", "bench.csv", "bench.md", "bench.png")]
    return folder, figures["bench.png"]


def test_the_files_are_the_document_the_markdown_and_a_picture(
    written: tuple[Path, Any], benchmarked: BenchResult
) -> None:
    folder, _ = written
    assert json.loads((folder / "bench.json").read_text()) == benchmarked.document()
    assert (folder / "bench.md").read_text() == bench_markdown(benchmarked)
    with Image.open(folder / "bench.png") as picture:
        picture.load()
        assert picture.format == "PNG"


def test_the_csv_has_a_row_per_cell_with_all_digits(
    written: tuple[Path, Any], benchmarked: BenchResult
) -> None:
    with (written[0] / "bench.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    same = (
        *KEYS, "n", "median_s", "iqr_s", "mean_s", "noisy", "outliers", "warm_up_s", "images", "images_per_s",
        "speedup", "floor_s", "times_floor", "error",
    )  # fmt: skip
    for row, (arm, cell) in zip(rows, cells_of(benchmarked.document()), strict=True):
        assert [row[key] for key in ("arm", "kind", "takes", "class")] == [
            arm["name"], arm["kind"], arm["takes"], arm["fidelity"]["class"]
        ]  # fmt: skip
        assert row["compiled"] == "False"
        assert {key: row[key] for key in same} == {
            key: "" if cell[key] is None else str(cell[key]) for key in same
        }
        ends = cell["ci95"] or ("", "")
        assert [row["ci95_low"], row["ci95_high"]] == [str(end) for end in ends]


def test_the_picture_has_a_line_per_arm_over_the_batch_sizes(
    written: tuple[Path, Any], benchmarked: BenchResult
) -> None:
    (axes,) = written[1].axes
    lines = {line.get_label(): line for line in axes.get_lines()}
    timed = [
        (arm, [cell for cell in arm["cells"] if cell["images_per_s"]])
        for arm in benchmarked.document()["arms"]
    ]
    assert len(lines) == len(timed)
    for arm, cells in timed:
        line = lines[f"{arm['name']}, {arm['fidelity']['class']}"]
        if arm["name"] in ("reference-loop", "pil-loop"):
            assert set(line.get_ydata()) == {cells[0]["images_per_s"]}  # across the whole width: no batches
            assert list(line.get_xdata()) == [0, 1]
            continue
        assert list(line.get_xdata()) == [2, 3]
        assert list(line.get_ydata()) == [
            max(cell["images_per_s"] for cell in cells if cell["batch_size"] == size) for size in (2, 3)
        ]
    assert len({(line.get_color(), line.get_linestyle()) for line in lines.values()}) == len(lines)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("batch size", "images per second")
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2", "3"]
    (legend,) = written[1].legends
    assert [text.get_text() for text in legend.get_texts()] == list(lines)


def test_with_one_batch_size_the_picture_has_a_bar_per_arm(
    benchmarked_once: BenchResult, tmp_path: Path
) -> None:
    document = benchmarked_once.document()
    with drawn_figures(render=False) as figures:
        write_bench(tmp_path, benchmarked_once)
    (axes,) = figures["bench.png"].axes
    bars = {round(bar.get_y() + bar.get_height() / 2): bar.get_width() for bar in axes.patches}
    names = [label.get_text().splitlines() for label in axes.get_yticklabels()]
    wanted = list(reversed(document["arms"]))
    assert names == [[arm["name"], arm["fidelity"]["class"]] for arm in wanted]
    assert bars == {place: arm["cells"][0]["images_per_s"] for place, arm in enumerate(wanted)}
    for place, (text, arm) in enumerate(zip(axes.texts, wanted, strict=True)):
        assert text.get_position() == (bars[place], place)
        ratio = re.fullmatch(r" ([\d.,]+) × loop", text.get_text())
        assert ratio
        assert shows(ratio[1], arm["cells"][0]["speedup"])
    assert (axes.get_xlabel(), axes.get_xscale()) == ("images per second", "log")
    low, high = axes.get_xlim()
    assert low < min(bars.values())
    assert max(bars.values()) < high


def steady(text: str) -> str:
    """A table without what depends on how fast the machine is and what else runs on it.

    Widths of columns follow the numbers; a noisy cell has a mark; a verdict is one of two; which setting
    of an arm is its fastest, which arm is best and whether a network pays off are results of the moment.
    """
    text = re.sub(r" !", "", text)
    text = re.sub(r"no difference shown from|[\d.,]+ times the images/s of", "<verdict>", text)
    text = re.sub(r"\d[\d.,]*", "0", re.sub(r"(?<=[ |])(yes|no)(?= )", "<yes or no>", text))
    text = re.sub(r"-{2,}:?", "--", re.sub(r" +", " ", text))
    text = re.sub(r"(?m)^.*noisy, interquartile range.*\n\n?", "", text)
    text = re.sub(r"(?m)^(- )?outliers.*$", r"\1outliers", text)
    text = re.sub(r"(?m)^(- )?best\b.*(\n +.*)*$", r"\1best", text)  # with the lines that it is wrapped to
    return re.sub(r"(?m)^(- )?break-even\b.*\n", "", text)


def test_the_layout_is_as_agreed(benchmarked: BenchResult, paced: TrainResult, photographs: Path) -> None:
    """The real result, but for its machine and places."""
    document = benchmarked.document()
    document["dataset"] = "cifar-transform:source=photographs"
    document["environment"] = {
        **document["environment"], "cpu": "A processor", "cores": 2, "threads": 1, "gpus": [],
        "versions": {"torch": "2.15.0", "torchvision": "0.29.2"},
    }  # fmt: skip
    for arm in document["arms"]:
        arm["note"] = arm["note"].replace(paced.run_dir.name, "20261120-141800-paced-net-3fa9c1")
        for cell in arm["cells"]:
            cell["error"] = cell["error"] and "unavailable: torch sees 0 CUDA devices"
    result = BenchResult.model_validate(document)
    check_layout("present/bench-120.txt", steady(bench_table(result, width=120)))
    check_layout("present/bench.md", steady(bench_markdown(result)))


@pytest.fixture(scope="module")
def before_and_after(
    benchmarked: BenchResult, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], dict[str, Any], Path]:
    """A benchmark, and itself again but for two networks: fifty times slower, and faster."""
    before, after = benchmarked.document(), benchmarked.document()
    for arm, factor in ((after["arms"][4], 50.0), (after["arms"][5], 0.02)):
        for cell in arm["cells"]:
            if cell["samples_s"]:
                cell["samples_s"] = [factor * sample for sample in cell["samples_s"]]
    return before, after, tmp_path_factory.mktemp("compared")


def compared(
    parts: tuple[dict[str, Any], dict[str, Any], Path], *, num_runs: int = 1, **options: Any
) -> BenchCompareResult:
    """Each side as one run, or as several in a folder, of which each is 1 % slower than the one before."""
    before, after, folder = parts
    for name, document in (("a", before), ("b", after)):
        for at in range(num_runs):
            run = json.loads(json.dumps(document))
            for arm in run["arms"][1:]:
                for cell in arm["cells"]:
                    cell["samples_s"] = [s * 1.01**at for s in cell["samples_s"] or ()] or None
            path = folder / f"{name}{num_runs}" / str(at) / "summary.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(run))
    return bench_compare(folder / f"a{num_runs}", folder / f"b{num_runs}", **options)


HEADS = ("arm", "batch", "drop last", "time, b over a")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("num_runs", [1, 3])
def test_a_comparison_shows_each_cells_change_interval_and_verdict(
    before_and_after: tuple[dict[str, Any], dict[str, Any], Path], width: int, num_runs: int
) -> None:
    result = compared(before_and_after, num_runs=num_runs, fail_above=0.05)
    text = bench_compare_table(result, width=width)
    heads = (*HEADS, *["visible from"][: num_runs - 1], "b is")
    rows = read_table(text, *heads)
    for row, cell in zip(rows, result.document()["cells"], strict=True):
        assert row["arm"] == squeezed(cell["arm"])
        assert (row["batch"], row["drop last"]) == (str(cell["batch_size"]), word(cell["drop_last"]))
        numbers = [float(number) for number in re.findall(r"[\d.]+", row["time, b over a"])]
        assert numbers == pytest.approx([cell["change"], *cell["ci95"]], abs=6e-4)
        told = "regression: " * cell["regression"] + cell["verdict"]
        told += " at this load" * (cell["verdict"] == "cannot tell")
        assert squeezed(row["b is"]).startswith(squeezed(told))
        if num_runs > 1:
            assert row["visible from"] == f"{cell['smallest_visible_change']:.1%}"
    said = Counter(cell.verdict for cell in result.cells)
    assert {"faster", "slower"} < set(said) <= {"faster", "slower", "no difference", "cannot tell"}
    assert result.regressions == (said["slower"] if num_runs > 1 else 0)
    assert "different machine" not in text
    assert "only in" not in text


@pytest.mark.parametrize("width", [80, 120])
def test_a_comparison_says_whether_the_spread_between_runs_is_known(
    before_and_after: tuple[dict[str, Any], dict[str, Any], Path], width: int
) -> None:
    single, result = (compared(before_and_after, num_runs=num, fail_above=0.05) for num in (1, 3))
    notes = read_pairs(bench_compare_table(single, width=width))[-1]
    assert values(notes, "spread between runs")[0].startswith("not known from one run a side")
    assert not values(notes, "smallest visible")
    assert values(notes, "gate") == ["cannot tell (slower by more than 5.0%)"]
    notes = read_pairs(bench_compare_table(result, width=width))[-1]
    assert values(notes, "spread between runs") == ["of 3 runs of a and 3 of b"]
    least, most = (f(cell.smallest_visible_change for cell in result.cells) for f in (min, max))
    assert values(notes, "smallest visible") == [f"{least:.1%} in the steadiest cell, {most:.1%} in all"]
    assert values(notes, "gate") == ["failed (slower by more than 5.0%)"]
    assert str(result.runs_b[2]) in "".join(values(notes, "runs of b")).replace(" ", "")


def test_a_comparison_of_two_machines_says_so_and_names_what_only_one_has(
    before_and_after: tuple[dict[str, Any], dict[str, Any], Path],
) -> None:
    before, after, folder = before_and_after
    arms = after["arms"]
    elsewhere = {
        **after,
        "environment": {**after["environment"], "cpu": "another", "cores": 64},
        "arms": [*arms[:4], {**arms[4], "name": "renamed", "cells": arms[4]["cells"][:1]}, arms[5]],
    }
    result = compared((before, elsewhere, folder))
    text = bench_compare_table(result, width=160)
    rows = read_table(text, "arm", "batch", "drop last", "time, b over a", "b is")
    assert {row["b is"] for row in rows} == {"different machine"}
    notes = read_pairs(text)[-1]
    assert values(notes, "different machine") == list(result.differences)
    assert [text.partition(":")[0] for text in result.differences] == ["cpu", "cores"]
    assert values(notes, "only in a") == list(result.only_in_a)
    assert values(notes, "only in b") == list(result.only_in_b)
    assert (len(result.only_in_a), len(result.only_in_b)) == (4, 1)
