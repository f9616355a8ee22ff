"""Each value of a run, an evaluation or a list stands in the table, in its row and column and in its unit."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from fake_plugins import write_plugin
from golden_files import check_layout
from nnkit import registry
from nnkit.api import evaluate
from nnkit.present.evaluate import evaluate_table
from nnkit.present.list_ import list_table
from nnkit.present.runs import runs_table
from nnkit.present.train import train_table
from nnkit.results.evaluate import EvaluateResult
from nnkit.results.runs import RunsResult
from nnkit.results.train import TrainResult
from nnkit.studies.list_ import list_components
from nnkit.studies.runs import list_runs
from present.conftest import Trained, quick_train, with_fixed
from present.reading import MISSING, has_table, read_columns, read_pairs, read_table, shows, squeezed, values

WIDTHS = [40, 80, 120]
RUN = "runs/train/20261120-141800-mnist-varres-varres-net-3fa9c1"
UNITS = {
    "loss": ("loss", ""),
    "accuracy": ("accuracy", "%"),
    "macro_f1": ("macro F1", ""),
    "mse": ("mean squared error", ""),
    "mae_sum": ("summed absolute error", ""),
    "max_abs_error": ("largest absolute error", ""),
    "psnr": ("PSNR", "dB"),
    "cosine_accuracy": ("cosine ≥ 0.95", "%"),
    "levels, differing": ("values differing", ""),
    "levels, near_boundary": ("near a boundary", ""),
}
"""How the tables name each metric that a run has, and in which unit they show it."""


def flat(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of one number."""
    plain = {name: value for name, value in metrics.items() if isinstance(value, int | float)}
    levels = metrics.get("levels", {})
    return plain | {f"levels, {name}": value for name, value in levels.items()}


def check_splits(text: str, document: Mapping[str, Any]) -> None:
    """The table of metrics holds every metric of training, validation and test, and nothing else."""
    record, test = document["best"]["metrics"], document["test"]
    splits = ["train", "val", *(["test"] if test else [])]
    shown = read_columns(text, "split")
    assert set(shown) == set(splits)
    of = {
        "train": {name.removeprefix("train_"): v for name, v in flat(record).items() if name[:6] == "train_"},
        "val": {name: v for name, v in flat(record).items() if not re.match("train_|val_", name)},
        "test": flat(test or {}),
    }
    names = {name for split in of.values() for name in split}
    heads = {head for row in shown.values() for head in row}
    assert heads - {"fidelity"} == {UNITS[name][0] for name in names}
    for name, split in itertools.product(names, splits):
        word, unit = UNITS[name]
        assert shows(shown[split].get(word, MISSING), of[split].get(name), unit), (name, split, text)
    if "fidelity" in record:
        classes = [MISSING, record["fidelity"]["class"], *([test["fidelity"]["class"]] if test else [])]
        assert [shown[split].get("fidelity", MISSING) for split in splits] == classes


def check_resolutions(text: str, metrics: Mapping[str, Any], prefix: str = "") -> None:
    accuracy, loss = metrics["accuracy_by_resolution"], metrics["loss_by_resolution"]
    rows = read_columns(text, "resolution")
    assert list(rows) == list(accuracy) == list(metrics["images_by_resolution"])
    for key, row in rows.items():
        assert row["images"] == str(metrics["images_by_resolution"][key])
        assert shows(row[f"{prefix}accuracy"], accuracy[key], "%")
        assert shows(row[f"{prefix}loss"], loss[key])


@pytest.mark.parametrize("width", WIDTHS)
def test_a_runs_head_says_what_was_trained_on_what_and_what_came_of_it(trained: Trained, width: int) -> None:
    result = trained.result
    head = dict(read_pairs(train_table(result, width=width))[0])
    assert head["run"] == str(result.run_dir)
    assert squeezed(head["dataset"]) == result.dataset
    assert (head["model"], head["loss"]) == (result.model, result.loss)
    assert (head["stopped by"], head["parameters"], head["epochs"]) == (result.stopped_by, "67", "6")
    assert head["best epoch"] == f"{result.best['epoch']}, by {result.best['metric']}"
    time, speed = head["time"].split(", ")
    assert shows(time, result.seconds, "s")
    assert shows(speed, result.images_per_s, "images/s")
    assert len(head) == 9


@pytest.mark.parametrize("width", WIDTHS)
def test_a_runs_metrics_stand_by_split_and_by_resolution(trained: Trained, width: int) -> None:
    document = trained.result.document()
    text = train_table(trained.result, width=width)
    check_splits(text, document)
    check_resolutions(text, document["test"], "test ")


@pytest.mark.parametrize("width", WIDTHS)
def test_a_transforms_metrics_stand_by_split_with_their_units(transformed: Trained, width: int) -> None:
    document = transformed.result.document()
    check_splits(train_table(transformed.result, width=width), document)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_fit_in_closed_form_says_how_long_it_took_and_what_it_noted(fitted: Trained, width: int) -> None:
    document = fitted.result.document()
    text = train_table(fitted.result, width=width)
    check_splits(text, document)
    pairs, solver = read_pairs(text)[0], document["solver"]
    name, rest = values(pairs, "solver")[0].split(", ")
    images, _, seconds = rest.partition(" images in ")
    assert (name, int(images)) == (solver["name"], solver["images"])
    assert shows(seconds, solver["solver_s"], "s")
    assert values(pairs, "note") == solver["notes"]
    assert len(solver["notes"]) == 1


def test_a_run_without_test_or_validation_has_no_such_column(runs_dir: Path) -> None:
    result = quick_train(dataset="tiny:empty_val=true", epochs=1, test=False, runs_dir=runs_dir)
    document = result.document()
    rows = read_table(train_table(result), "split", "loss", "accuracy", "macro F1")
    assert [row["split"] for row in rows] == ["train", "val"]
    assert (rows[1]["loss"], rows[1]["accuracy"]) == (MISSING, MISSING)
    assert shows(rows[0]["loss"], document["best"]["metrics"]["train_loss"])
    assert shows(rows[0]["accuracy"], document["best"]["metrics"]["train_accuracy"], "%")


@pytest.mark.parametrize("width", [40, 80])
@pytest.mark.parametrize("name", ["trained", "transformed", "fitted"])
def test_the_layout_of_a_runs_result_is_as_agreed(
    name: str, width: int, request: pytest.FixtureRequest
) -> None:
    """The real results, but for their place, times and errors of rounding."""
    document = with_fixed(
        request.getfixturevalue(name).result.document(), run_dir=RUN, dataset="mnist-varres:mode=pad",
        seconds=185.2, images_per_s=12345.6,
    )  # fmt: skip
    if "solver_s" in document["solver"]:
        note = "band=3 dropped 1.8e-15 of the matrices' energy; the largest entry dropped is 3.2e-08"
        document["solver"] = {**document["solver"], "solver_s": 0.6, "notes": [note]}
    check_layout(
        f"present/{name}-{width}.txt", train_table(TrainResult.model_validate(document), width=width)
    )


@pytest.mark.parametrize("width", WIDTHS)
def test_an_evaluations_head_names_the_run_the_split_and_each_metric(
    evaluated: EvaluateResult, width: int
) -> None:
    head = dict(read_pairs(evaluate_table(evaluated, width=width))[0])
    assert list(head) == ["run", "model", "dataset", "split", "images", "loss", "accuracy", "macro F1"]
    assert head["run"] == str(evaluated.run_dir)
    assert (head["model"], squeezed(head["dataset"])) == (evaluated.model, evaluated.dataset)
    assert (head["split"], head["images"]) == ("test", "45")
    assert shows(head["loss"], evaluated.metrics["loss"])
    assert shows(head["accuracy"], evaluated.metrics["accuracy"], "%")
    assert shows(head["macro F1"], evaluated.metrics["macro_f1"])


@pytest.mark.parametrize("width", WIDTHS)
def test_an_evaluation_of_a_transform_shows_each_metric_with_its_unit(
    transformed: Trained, width: int
) -> None:
    result = evaluate(transformed.result.run_dir, split="train", threads=1)
    assert result.images == 24
    head = dict(read_pairs(evaluate_table(result, width=width))[0])
    metrics = flat(result.metrics.document())
    assert set(head) == {
        "run", "model", "dataset", "split", "images", "fidelity", *(UNITS[name][0] for name in metrics)
    }  # fmt: skip
    for name, value in metrics.items():
        assert shows(head[UNITS[name][0]], value, UNITS[name][1]), name
    assert (head["split"], head["images"]) == ("train", "24")
    assert head["fidelity"] == result.metrics["fidelity"]["class"] == "approximate"


def class_rows(text: str) -> tuple[dict[str, str], list[dict[str, str]]]:
    """The table of classes, and its heads, which are short where there is little room."""
    long, short = ("class", "images", "precision", "recall"), ("class", "n", "prec.", "recall")
    heads = long if re.search(r"^class +images", text, re.M) else short
    rows = read_table(text, *heads)
    return dict(zip(long, heads, strict=True)), rows


@pytest.mark.parametrize("width", WIDTHS)
def test_each_class_has_its_count_precision_and_recall(evaluated: EvaluateResult, width: int) -> None:
    heads, rows = class_rows(evaluate_table(evaluated, width=width))
    assert [row[heads["class"]] for row in rows] == ["a", "b", "c"]
    for row, known in zip(rows, evaluated.per_class, strict=True):
        assert shows(row[heads["images"]], known["count"])
        assert shows(row[heads["precision"]], known["precision"], "%")
        assert shows(row[heads["recall"]], known["recall"], "%")
    assert len({row[heads["precision"]] for row in rows}) == 3


def test_no_column_of_the_classes_is_always_empty(evaluated: EvaluateResult) -> None:
    _, rows = class_rows(evaluate_table(evaluated, width=120))
    assert not [head for head in rows[0] if all(row[head] == MISSING for row in rows)]


@pytest.mark.parametrize("width", WIDTHS)
def test_an_evaluation_shows_each_resolution_and_the_confusion_matrix(
    evaluated: EvaluateResult, width: int
) -> None:
    text = evaluate_table(evaluated, width=width)
    check_resolutions(text, evaluated.metrics.document())
    rows = read_table(text, "true", "a", "b", "c")
    assert [row["true"] for row in rows] == ["a", "b", "c"]
    assert tuple(tuple(int(row[name]) for name in "abc") for row in rows) == evaluated.confusion["all"]
    assert text.count("rows: true class, columns: predicted") == 1


@pytest.mark.parametrize("width", WIDTHS)
def test_of_many_classes_the_most_frequent_confusions_are_shown(trained_on_many: Trained, width: int) -> None:
    result = evaluate(trained_on_many.result.run_dir, split="train", threads=1)
    text = evaluate_table(result, width=width)
    names, matrix = result.class_names, result.confusion["all"]
    wrong = {
        (names[i], names[j]): matrix[i][j]
        for i, j in itertools.product(range(14), repeat=2)
        if i != j and matrix[i][j]
    }
    rows = read_table(text, "true class", "taken for", "images")
    counts = [int(row["images"]) for row in rows]
    assert counts == sorted(wrong.values(), reverse=True)[:10]
    for row in rows:
        pair = (found(row["true class"], names), found(row["taken for"], names))
        assert wrong[pair] == int(row["images"])
    assert not has_table(text, "true", *names)


@pytest.mark.parametrize("width", WIDTHS)
def test_of_many_classes_each_has_its_row_with_its_name_cut_to_30_letters(
    trained_on_many: Trained, width: int
) -> None:
    result = evaluate(trained_on_many.result.run_dir, split="train", threads=1)
    heads, rows = class_rows(evaluate_table(result, width=width))
    assert [found(row[heads["class"]], result.class_names) for row in rows] == list(result.class_names)
    assert max(len(row[heads["class"]]) for row in rows) <= 30
    for row, known in zip(rows, result.per_class, strict=True):
        assert shows(row[heads["precision"]], known["precision"], "%")
        assert shows(row[heads["recall"]], known["recall"], "%")
    assert MISSING in {row[heads["precision"]] for row in rows}  # of a class that was never predicted


def found(shown: str, names: Sequence[str]) -> str:
    """The name that a cell shows, whole or with its middle cut out."""
    head, cut, tail = (squeezed(part) for part in shown.partition("…"))
    fits = [
        name
        for name in names
        if (
            squeezed(name).startswith(head) and squeezed(name).endswith(tail)
            if cut
            else squeezed(name) == head
        )
    ]
    assert len(fits) == 1, (shown, fits)
    return fits[0]


@pytest.fixture
def gem_is_there_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, version in (("gems", "2"), ("more-gems", "0.3")):
        write_plugin(
            tmp_path / name, name, f"[nnkit.poolings]\ngem = {name.replace('-', '_')}:Gem\n", version=version
        )
        monkeypatch.syspath_prepend(str(tmp_path / name))
    registry.refresh()
    yield
    monkeypatch.undo()
    registry.refresh()


@pytest.mark.parametrize("width", WIDTHS)
def test_each_component_is_listed_with_group_provider_version_and_target(
    gem_is_there_twice: None, width: int
) -> None:
    result = list_components()
    listed = result.document()["components"]
    heads = ("group", "name", "provider", "version", "target")
    text = list_table(result, width=width)
    rows = read_table(text, *heads)
    assert [[row[head] for head in heads] for row in rows] == [
        [squeezed(row[head]) for head in heads] for row in listed
    ]
    assert {("gem", "gems", "2"), ("gem", "more-gems", "0.3"), ("paced-net", "results-plugin", "2.3")} <= {
        (row["name"], row["provider"], row["version"]) for row in rows
    }
    errors = [f"{row['group']} {row['name']}: {row['error']}" for row in listed if row["error"]]
    assert len(errors) == 2
    assert values(read_pairs(text)[-1], "error") == errors


def test_components_without_an_error_are_the_table_alone() -> None:
    text = list_table(list_components(["losses"]), width=80)
    assert "error" not in text
    assert "\n\n" not in text
    assert len(read_table(text, "group", "name", "provider", "version", "target")) == 6


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> RunsResult:
    """`runs list` of two runs, their states and times then fixed; the second has no summary yet."""
    folder = tmp_path_factory.mktemp("listed")
    first = quick_train(dataset="tiny", epochs=2, out=folder / "train/20261120-141800-tiny-tiny-net-3fa9c1")
    path = first.run_dir / "summary.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "seconds": 75.2}))
    stopped = quick_train(dataset="tiny", epochs=1, out=folder / "train/first-try")
    (stopped.run_dir / "summary.json").unlink()
    for run, state, started in (
        (first.run_dir, "finished", "2026-11-20T14:18:00"),
        (stopped.run_dir, "interrupted", "2026-11-20T15:00:00"),
    ):
        path = run / "status.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "state": state, "started": started}))
    return list_runs(folder)


@pytest.mark.parametrize("width", [*WIDTHS, 200])
def test_each_run_is_listed_with_state_best_metric_epochs_and_time(runs: RunsResult, width: int) -> None:
    text = runs_table(runs, width=width)
    heads = ["name", "state", "best", "dataset", "model", "epochs", "time", "started"]
    shown = next(
        subset
        for size in range(8, 2, -1)
        for subset in itertools.combinations(heads, size)
        if has_table(text, *subset)
    )
    assert shown[:3] == ("name", "state", "best")
    assert len(shown) == 8 or 40 < width < 120
    rows = read_table(text, *shown)
    stopped, finished = rows
    assert (stopped["name"], stopped["state"]) == ("first-try", "interrupted")
    assert {stopped[head] for head in shown[2:] if head != "started"} == {MISSING}
    assert (finished["name"], finished["state"]) == ("20261120-141800-tiny-tiny-net-3fa9c1", "finished")
    assert shows(finished["best"], runs["runs"][1]["best"], "%")
    wanted = {
        "dataset": "tiny",
        "model": "tiny-net",
        "epochs": "2",
        "time": "1 min 15 s",
        "started": "2026-11-20T14:18:00",
    }
    assert {head: finished[head] for head in shown[3:]} == {head: wanted[head] for head in shown[3:]}


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_layout_of_the_list_of_runs_is_as_agreed(runs: RunsResult, width: int) -> None:
    check_layout(f"present/runs-{width}.txt", runs_table(runs, width=width))


def test_without_runs_it_says_where_it_looked() -> None:
    assert runs_table(RunsResult(runs_dir="here", runs=())) == "No runs in here."


@pytest.mark.parametrize("width", [120, 80, 60, 40])
@pytest.mark.parametrize("name", ["trained", "transformed", "fitted", "evaluated", "trained_on_many"])
def test_only_a_path_is_wider_than_the_width(name: str, width: int, request: pytest.FixtureRequest) -> None:
    made = request.getfixturevalue(name)
    if isinstance(made, EvaluateResult):
        text = evaluate_table(made.model_copy(update={"run_dir": Path("runs/a")}), width=width)
    else:
        fixed = {"run_dir": Path("runs/a"), "dataset": "a"}
        text = train_table(made.result.model_copy(update=fixed), width=width)
    for line in text.splitlines():
        assert len(line) <= width, line
        assert line == line.rstrip()
