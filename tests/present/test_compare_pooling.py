"""A comparison of poolings: each accuracy, interval and verdict in its place, as a table and as a picture."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from golden_files import check_layout
from nnkit.present.compare_pooling import comparison_table, write_comparison
from nnkit.results.compare_pooling import Accuracy, ComparePoolingResult
from present.conftest import drawn_figures, with_fixed
from present.reading import MISSING, has_table, read_pairs, read_table, shows, squeezed, values

WIDTHS = [40, 80, 120]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["compared", "won", "compared_by_one_seed"])
def test_each_pooling_has_its_width_parameters_accuracy_and_interval(
    name: str, width: int, request: pytest.FixtureRequest
) -> None:
    result = request.getfixturevalue(name)
    document = result.document()
    heads = ["pooling", "width", "parameters", "accuracy", *ENDS[name]]
    rows = read_table(comparison_table(result, width=width), *heads)
    for row, known in zip(rows, document["results"], strict=True):
        assert row["pooling"] == known["pooling"]
        assert shows(row["width"], known["width"])
        assert shows(row["parameters"], known["parameters"])
        assert shows(row["accuracy"], known["accuracy"]["mean"], "%")
        check_interval(row.get("95 % interval", MISSING), known["accuracy"]["ci95"])
        check_few(row.get("values", MISSING), known["accuracy"]["ci95"], known["accuracy"]["values"])


ENDS = {
    "compared": ["95 % interval", "values"],
    "won": ["95 % interval"],
    "compared_by_one_seed": ["values"],
}
"""How a table ends: values are shown where they are too few for an interval."""


def check_few(shown: str, interval: object, values: list[float | None]) -> None:
    """Values in percent, in place of an interval."""
    known = [value for value in values if value is not None]
    if interval is not None or not known:
        assert shown == MISSING
        return
    assert shown.endswith("%")
    parts = [part.strip() for part in shown.removesuffix("%").split(",")]
    assert all(shows(f"{part} %", value, "%") for part, value in zip(parts, known, strict=True))


def check_interval(shown: str, ends: list[float] | None) -> None:
    """An interval of shares, in percent, which stands once, at its end."""
    if ends is None:
        assert shown == MISSING
        return
    found = re.fullmatch(r"(-?[\d.]+) to (-?[\d.]+ %)", shown)
    assert found, shown
    assert shows(f"{found[1]} %", ends[0], "%")
    assert shows(found[2], ends[1], "%")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["compared", "compared_by_one_seed"])
def test_the_mean_accuracy_of_each_pooling_stands_by_resolution(
    name: str, width: int, request: pytest.FixtureRequest
) -> None:
    document = request.getfixturevalue(name).document()
    text = comparison_table(request.getfixturevalue(name), width=width)
    assert {key for row in document["results"] for key in row["by_resolution"]} == {"12x10", "14x14"}
    rows = {row["pooling"]: row for row in read_table(text, "pooling", "12x10", "14x14")}
    assert list(rows) == [row["pooling"] for row in document["results"]]
    for known in document["results"]:
        for key in ("12x10", "14x14"):
            mean = known["by_resolution"].get(key, {}).get("mean")
            assert shows(rows[known["pooling"]][key], mean, "%")


def test_resolutions_stand_below_one_another_where_there_is_no_room_beside(
    compared: ComparePoolingResult,
) -> None:
    document = compared.document()
    text = comparison_table(compared, width=24)
    assert not has_table(text, "pooling", "12x10", "14x14")
    rows = read_table(text, "resolution", "avg", "blind", "brittle")
    assert [row["resolution"] for row in rows] == ["12x10", "14x14"]
    for row in rows:
        for known in document["results"]:
            mean = known["by_resolution"][row["resolution"]]["mean"]
            assert shows(row[known["pooling"]], mean, "%")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["compared", "won", "compared_by_one_seed"])
def test_each_pair_has_its_difference_in_points_its_interval_and_the_verdict(
    name: str, width: int, request: pytest.FixtureRequest
) -> None:
    result = request.getfixturevalue(name)
    document = result.document()
    first = ["pair", "points"]
    middle = ["95 % interval", "verdict"] if name != "compared_by_one_seed" else []
    last = ["values"] if name != "won" else []
    rows = read_table(comparison_table(result, width=width), *first, *middle, *last)
    for row, pair in zip(rows, document["comparisons"], strict=True):
        assert row["pair"] == f"{pair['a']} − {pair['b']}"
        check_points(row["points"], pair["difference"])
        if pair["ci95"] is None:
            assert row.get("95 % interval", MISSING) == MISSING
            differences = [value for value in pair["differences"] if value is not None]
            shown = row["values"].replace(MISSING, "").split(",") if differences else []
            for text, difference in zip(shown, differences, strict=True):
                check_points(text.strip(), difference)
        else:
            low, _, high = row["95 % interval"].partition(" to ")
            check_points(low, pair["ci95"][0])
            check_points(high, pair["ci95"][1])
        assert squeezed(row.get("verdict", MISSING)) == squeezed(pair["verdict"] or MISSING)


def check_points(shown: str, difference: float | None) -> None:
    """A difference in percentage points with its sign."""
    if difference is None:
        assert shown == MISSING
        return
    assert re.fullmatch(r"[+-]\d+\.\d\d", shown), shown
    assert float(shown) == pytest.approx(100 * difference, abs=0.00501)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_head_says_what_was_compared_and_the_end_what_failed(
    compared: ComparePoolingResult, width: int
) -> None:
    blocks = read_pairs(comparison_table(compared, width=width))
    head = dict(blocks[0])
    assert head["run"] == str(compared.run_dir)
    assert squeezed(head["dataset"]) == squeezed(compared.dataset)
    assert head["model"] == "varres-net at 6,000 parameters"
    assert head["training"] == "2 epochs, 3 seeds"
    (failure,) = compared.failed
    assert failure["seed"] == 7
    told = values([pair for block in blocks for pair in block], "failed: brittle, seed 7")
    assert [squeezed(text) for text in told] == [squeezed(failure["error"])]


def test_one_epoch_or_seed_is_said_in_the_singular(compared_by_one_seed: ComparePoolingResult) -> None:
    document = {**compared_by_one_seed.document(), "epochs": 1}
    assert "training  1 epoch, 1 seed\n" in comparison_table(ComparePoolingResult.model_validate(document))


def test_a_winner_is_named_and_the_lack_of_one_explained(
    won: ComparePoolingResult, compared: ComparePoolingResult, compared_by_one_seed: ComparePoolingResult
) -> None:
    assert won.winner == "avg"
    assert comparison_table(won).splitlines()[-1] == "winner  avg"
    assert compared.winner is None
    end = comparison_table(compared).splitlines()[-1]
    assert end == "winner  none: no pooling is shown to be better than every other"
    assert "at least three seeds" in comparison_table(compared_by_one_seed).splitlines()[-1]
    alone = won.model_copy(update={"results": won.results[:1], "comparisons": (), "winner": None})
    assert "there is only one pooling" in comparison_table(alone).splitlines()[-1]
    assert "verdict" not in comparison_table(alone)


def test_without_failures_none_is_told_of(won: ComparePoolingResult) -> None:
    assert "failed" not in comparison_table(won)


def test_the_layout_is_as_agreed(compared: ComparePoolingResult) -> None:
    """The real result, but for its place."""
    document = with_fixed(
        compared.document(), run_dir="runs/compare-pooling/a", dataset="image-folder:path=a"
    )
    check_layout(
        "present/comparison-120.txt",
        comparison_table(ComparePoolingResult.model_validate(document), width=120),
    )


@pytest.fixture(scope="module")
def written(compared: ComparePoolingResult, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("figures") / "new"
    with drawn_figures() as figures:
        paths = write_comparison(folder, compared)
    assert paths == [folder / "comparison.png", folder / "comparison.csv"]
    return folder, figures["comparison.png"]


def test_the_data_beside_the_picture_hold_each_seeds_accuracy_with_all_digits(
    written: tuple[Path, Any], compared: ComparePoolingResult
) -> None:
    with (written[0] / "comparison.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    wanted = []
    for known in compared.results:
        for key, of in {"all": known["accuracy"], **known["by_resolution"]}.items():
            ends = of["ci95"] or ["", ""]
            seeds = {f"seed_{seed}": value for seed, value in zip((1, 4, 7), of["values"], strict=True)}
            row = {
                "pooling": known["pooling"], "parameters": known["parameters"], "resolution": key,
                "mean": of["mean"], "ci95_low": ends[0], "ci95_high": ends[1], **seeds,
            }  # fmt: skip
            wanted.append({name: "" if value is None else str(value) for name, value in row.items()})
    assert rows == wanted
    assert [row["seed_7"] for row in rows if row["pooling"] == "brittle"] == ["", "", ""]


def test_the_picture_is_a_png(written: tuple[Path, Any]) -> None:
    with Image.open(written[0] / "comparison.png") as image:
        image.load()
        assert image.format == "PNG"
        assert image.width > 900


def test_at_the_left_a_line_joins_each_seeds_runs_in_percent(
    written: tuple[Path, Any], compared: ComparePoolingResult
) -> None:
    axes = written[1].axes[0]
    lines = [line for line in axes.get_lines() if len(line.get_xdata()) == 3]
    for at, line in enumerate(lines):
        assert list(line.get_xdata()) == [0, 1, 2]
        accuracies = [row["accuracy"]["values"][at] for row in compared.results]
        wanted = [np.nan if value is None else 100 * value for value in accuracies]
        np.testing.assert_allclose(line.get_ydata(), wanted, rtol=1e-12)
    assert len(lines) == 3
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        f"{row['pooling']}\n({row['parameters']:,})" for row in compared.results
    ]
    assert (axes.get_title(loc="left"), axes.get_ylabel()) == ("Test accuracy, 3 seeds", "accuracy (%)")


def means_of(axes: Any) -> list[tuple[float, float, tuple[float, float] | None, str]]:
    """Each mean with its interval, as they are drawn: place, height, the bar's ends, the label."""
    found = []
    for container in axes.containers:
        (point, _, bars) = container.lines
        ends = None
        if bars:
            (segment,) = bars[0].get_segments()
            ends = (segment[0][1], segment[1][1])
        found.append((point.get_xdata()[0], point.get_ydata()[0], ends, container.get_label()))
    return found


def check_mean(drawn: tuple[float, float, tuple[float, float] | None, str], of: Mapping[str, Any]) -> None:
    assert drawn[1] == pytest.approx(100 * of["mean"])
    if of["ci95"] is None:
        assert drawn[2] is None
    else:
        assert drawn[2] == pytest.approx([100 * end for end in of["ci95"]])


def test_at_the_left_each_poolings_mean_has_its_interval(
    written: tuple[Path, Any], compared: ComparePoolingResult
) -> None:
    drawn = means_of(written[1].axes[0])
    for place, (mean, row) in enumerate(zip(drawn, compared.results, strict=True)):
        assert mean[0] == place
        check_mean(mean, row["accuracy"])


def test_at_the_right_each_resolution_has_every_pooling_beside_its_seeds(
    written: tuple[Path, Any], compared: ComparePoolingResult
) -> None:
    axes = written[1].axes[1]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["12×10", "14×14"]
    drawn = means_of(axes)
    wanted = [
        (at, row["pooling"], row["by_resolution"][key])
        for row in compared.results
        for at, key in enumerate(("12x10", "14x14"))
    ]
    assert len(drawn) == len(wanted) == 6
    dots = [line for line in axes.get_lines() if line.get_marker() == "."]
    for mean, line, (at, pooling, of) in zip(drawn, dots, wanted, strict=True):
        assert abs(mean[0] - at) < 0.45
        check_mean(mean, of)
        assert mean[3] == pooling or (at > 0 and mean[3].startswith("_"))
        seeds = [np.nan if value is None else 100 * value for value in of["values"]]
        np.testing.assert_allclose(line.get_ydata(), seeds, rtol=1e-12)
        np.testing.assert_allclose(line.get_xdata(), mean[0] - 0.06)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["avg", "blind", "brittle"]
    assert axes.get_ylabel() == "accuracy (%)"


def test_images_of_one_size_have_one_panel(won: ComparePoolingResult, tmp_path: Path) -> None:
    document = won.document()
    for row in document["results"]:
        row["by_resolution"] = {}
    with drawn_figures(render=False) as figures:
        write_comparison(tmp_path, ComparePoolingResult.model_validate(document))
    assert len(figures["comparison.png"].axes) == 1
    assert not has_table(
        comparison_table(ComparePoolingResult.model_validate(document)), "pooling", "12x10", "14x14"
    )


def test_without_a_finished_cell_nothing_is_drawn(
    compared_by_one_seed: ComparePoolingResult, tmp_path: Path
) -> None:
    result = compared_by_one_seed.model_copy(update={"results": compared_by_one_seed.results[1:]})
    assert write_comparison(tmp_path / "none", result) == []
    assert not (tmp_path / "none").exists()


def test_two_seeds_show_their_values_and_no_interval(won: ComparePoolingResult) -> None:
    """Student's t of two values would reach far below 0 % and above 100 %."""
    rows = tuple(
        row.model_copy(update={"accuracy": Accuracy(mean=0.358, ci95=None, values=(0.19, 0.526))})
        for row in won.results
    )
    text = comparison_table(won.model_copy(update={"results": rows}), width=80)
    assert "interval" not in text.split("\n\n")[1]
    assert "19.00, 52.60 %" in text
