"""What a command prints: with --json the study's own result, else its table at the terminal's width."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli.cli_plugin import Placed
from cli.conftest import Answer
from data.image_files import random_png, write_folder
from nnkit import files, registry
from nnkit.api import evaluate
from nnkit.cli import main
from nnkit.present.bench import bench_table
from nnkit.present.bench_compare import bench_compare_table
from nnkit.present.compare_pooling import comparison_table
from nnkit.present.count_params import count_params_text
from nnkit.present.doctor import doctor_text
from nnkit.present.evaluate import evaluate_table
from nnkit.present.info import info_text
from nnkit.present.list_ import list_table
from nnkit.present.new_plugin import new_plugin_text
from nnkit.present.runs import files_left, run_text, runs_table
from nnkit.present.runs_verify import runs_verify_text
from nnkit.present.train import train_table
from nnkit.results.bench import BenchResult
from nnkit.results.bench_compare import BenchCompareResult
from nnkit.results.compare_pooling import ComparePoolingResult
from nnkit.results.doctor import DoctorResult
from nnkit.results.evaluate import EvaluateResult
from nnkit.results.new_plugin import NewPluginResult
from nnkit.results.runs_verify import RunsVerifyResult
from nnkit.results.train import TrainResult
from nnkit.studies.count_params.study import count_params
from nnkit.studies.info.study import info
from nnkit.studies.list_ import list_components
from nnkit.studies.runs import list_runs, show_run

pytestmark = pytest.mark.usefixtures("plugins")
Ask = Callable[..., Answer]
Show = Callable[..., str]
WIDTHS = [40, 120]


def plain(document: Any) -> Any:
    """A document as JSON holds it."""
    return json.loads(files.dumps(document))


def without(document: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in keys}


@pytest.mark.parametrize("width", WIDTHS)
def test_train_prints_the_summary_it_left_and_every_file(
    shown: Show, answer: Ask, tmp_path: Path, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])
    words = ["train", "--dataset", "tiny", "--epochs", 1, "--threads", 1, "--device", "cpu"]
    text = shown(*words, "--out", tmp_path / "a", width=width)
    summary = json.loads((tmp_path / "a" / "summary.json").read_text())
    table = train_table(TrainResult.model_validate(summary), width=width)
    assert text == f"{table}\n\n{files_left(tmp_path / 'a')}\n"
    _, document, _ = answer(*words, "--out", tmp_path / "b")
    assert document == json.loads((tmp_path / "b" / "summary.json").read_text())
    timed = ("run_dir", "seconds", "images_per_s")
    assert without(document, *timed) == without(summary, *timed)


@pytest.mark.parametrize("width", WIDTHS)
def test_evaluate_prints_what_the_study_found(shown: Show, answer: Ask, finished: Path, width: int) -> None:
    options = {"split": "train", "limit": 50, "batch_size": 7, "threads": 1, "device": "cpu"}
    known = evaluate(finished, dataset="tiny:noise=90.0", **options).document()
    words = [word for key, value in options.items() for word in (f"--{key.replace('_', '-')}", value)]
    words = ["evaluate", finished, "--dataset", "tiny:noise=90.0", *words]
    code, document, _ = answer(*words)
    assert code == 0
    assert document["seconds"] > 0
    assert without(document, "seconds") == plain(without(known, "seconds"))
    assert (document["images"], document["split"]) == (50, "train")
    assert document["dataset"].startswith("tiny:noise=90")
    assert (
        shown(*words, width=width)
        == evaluate_table(EvaluateResult.model_validate(document), width=width) + "\n"
    )


@pytest.mark.parametrize("width", WIDTHS)
def test_count_params_prints_what_the_study_counted(shown: Show, answer: Ask, width: int) -> None:
    known = count_params(["conv-linear", "linear"], input="3x16x16")
    words = ["count-params", "conv-linear", "linear", "--input", "3x16x16"]
    assert answer(*words)[:2] == (0, known.document())
    assert shown(*words, width=width) == count_params_text(known, width=width) + "\n"


def test_count_params_matches_as_it_is_told(answer: Ask) -> None:
    words = ["count-params", "mlp-bottleneck", "--match", "8,490", "--vary", "hidden"]
    code, document, err = answer(*words, "--tolerance", "0.05%")
    assert document["match"] == {
        "target": "8,490", "target_total": 8490, "parameter": "hidden", "value": 2, "total": 8498,
        "difference": 8, "tolerance": 0.0005, "within_tolerance": False,
    }  # fmt: skip
    assert code == 4
    assert json.loads(err.splitlines()[-1])["error"]["code"] == 4
    assert answer(*words, "--tolerance", "0.1%")[0] == answer(*words)[0] == 0


@pytest.mark.parametrize("width", WIDTHS)
def test_list_prints_the_components_of_the_groups_asked_for(shown: Show, answer: Ask, width: int) -> None:
    known = list_components(["losses", "datasets"])
    assert answer("list", "losses", "datasets")[:2] == (0, known.document())
    assert {row.group for row in known.components} == {"losses", "datasets"}
    assert shown("list", "losses", "datasets", width=width) == list_table(known, width=width) + "\n"
    assert answer("list")[1] == list_components().document()


@pytest.mark.parametrize("width", WIDTHS)
def test_info_prints_the_components_page(shown: Show, answer: Ask, width: int) -> None:
    known = info("tiny:several=true", batch_size=7)
    words = ["info", "tiny:several=true", "--batch-size", 7]
    assert answer(*words)[:2] == (0, known.document())
    assert known["facts"]["forecast"]["batch_size"] == 7
    assert shown(*words, width=width) == info_text(known, width=width) + "\n"
    assert answer(*words[:2])[1]["facts"]["forecast"]["batch_size"] == 64


def test_info_takes_the_group_where_two_share_a_name(answer: Ask) -> None:
    code, document, err = answer("info", "mse")
    assert (code, document) == (2, None)
    assert "--group" in err
    assert answer("info", "mse", "--group", "poolings")[1]["provider"] == "cli-plugin"
    assert answer("info", "mse", "--group", "losses")[1]["target"] == "torch.nn:MSELoss"


def test_info_tells_a_dataset_where_to_look(answer: Ask, tmp_path: Path) -> None:
    Placed.places.clear()
    assert answer("info", "placed", "--data-root", tmp_path, "--download")[0] == 0
    assert answer("info", "placed", "--data-root", tmp_path)[0] == 0
    assert [(place.root, place.download) for place in Placed.places] == [(tmp_path, True), (tmp_path, False)]


@pytest.mark.parametrize("width", WIDTHS)
def test_runs_are_listed_and_shown_from_the_folder_named(
    shown: Show, answer: Ask, finished: Path, width: int, tmp_path: Path
) -> None:
    runs_dir = finished.parents[1]
    known = list_runs(runs_dir)
    assert answer("runs", "list", "--runs-dir", runs_dir)[:2] == (0, known.document())
    assert shown("runs", "list", "--runs-dir", runs_dir, width=width) == runs_table(known, width=width) + "\n"
    assert shown("runs", "list", "--runs-dir", tmp_path) == f"No runs in {tmp_path}.\n"
    page = show_run(finished)
    for name in (finished, finished.name, finished.name[:6]):
        assert answer("runs", "show", name, "--runs-dir", runs_dir)[:2] == (0, page.document())
    assert shown("runs", "show", finished, width=width) == run_text(page, width=width) + "\n"
    assert answer("runs", "show", finished.name, "--runs-dir", tmp_path)[0] == 2


@pytest.mark.parametrize("width", WIDTHS)
def test_a_run_is_verified_and_one_that_was_changed_exits_4(
    answer: Ask, capfd: pytest.CaptureFixture[str], finished: Path, tmp_path: Path, width: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    code, document, err = answer(
        "runs", "verify", finished.name, "--runs-dir", finished.parents[1], "--quiet"
    )
    assert (code, err) == (0, "")
    verdict = ("equal", "weights_equal", "metrics_equal", "first_difference")
    assert [document[key] for key in verdict] == [True, True, True, None]
    assert document["schema"] == "nnkit.runs-verify/1"
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    log = (run / "metrics.jsonl").read_text().splitlines()
    first = json.loads(log[0])
    (run / "metrics.jsonl").write_text("\n".join([json.dumps({**first, "loss": 7.0}), *log[1:]]) + "\n")
    code, document, err = answer("runs", "verify", run, "--quiet")
    assert code == 4
    assert [document[key] for key in verdict[:3]] == [False, True, False]
    assert document["first_difference"] == {
        "place": "metrics.jsonl", "epoch": 1, "step": 1, "key": "loss", "stored": 7.0,
        "repeated": first["loss"],
    }  # fmt: skip
    told = json.loads(err.splitlines()[-1])["error"]
    assert told["code"] == 4
    assert "does not repeat itself: metrics.jsonl, epoch 1, step 1: loss" in told["message"]
    monkeypatch.setenv("COLUMNS", str(width))
    assert main.run(["runs", "verify", str(run), "--quiet"]) == 4
    text = capfd.readouterr().out
    again = RunsVerifyResult.model_validate(document)
    shown = runs_verify_text(again, width=width).splitlines()
    same = [line for line in text.splitlines() if "trained again" not in line]
    assert same == [line for line in shown if "trained again" not in line]
    (run / "config.toml").unlink()
    code, document, err = answer("runs", "verify", run, "--quiet")
    assert (code, document) == (1, None)
    assert "has no config.toml, so it cannot be repeated" in err


def test_runs_are_looked_for_where_the_environment_says(
    answer: Ask, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NNKIT_RUNS", str(finished.parents[1]))
    assert [run["name"] for run in answer("runs", "list")[1]["runs"]] == [finished.name]


def test_doctor_looks_at_the_folders_named(
    shown: Show, answer: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NNKIT_PLUGINS", "")
    registry.refresh()
    (tmp_path / "data").mkdir()
    words = ["doctor", "--data-root", tmp_path / "data", "--runs-dir", tmp_path / "runs"]
    code, document, _ = answer(*words)
    assert code == 0
    assert document["schema"] == "nnkit.doctor/1"
    folders = document["folders"]
    assert (folders["data_root"]["path"], folders["data_root"]["exists"]) == (str(tmp_path / "data"), True)
    assert (folders["runs"]["path"], folders["runs"]["exists"]) == (str(tmp_path / "runs"), False)
    assert shown(*words, width=60) == doctor_text(DoctorResult.model_validate(document), width=60) + "\n"


def test_new_plugin_writes_where_it_is_told(shown: Show, answer: Ask, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    code, document, _ = answer("new-plugin", "nnkit-neat", "--kind", "loss", "--out", tmp_path / "other")
    folder = tmp_path / "other" / "nnkit-neat"
    assert (code, document["kind"], document["folder"]) == (0, "loss", str(folder))
    assert sorted(document["files"]) == sorted(path.name for path in folder.iterdir())
    text = shown("new-plugin", "nnkit-neat", "--kind", "loss", "--out", tmp_path)
    there = tmp_path / "nnkit-neat"
    commands = [command.replace(str(folder), str(there)) for command in document["next_commands"]]
    wanted = NewPluginResult.model_validate({**document, "folder": there, "next_commands": commands})
    assert text == new_plugin_text(wanted) + "\n"


OPS = ["bench", "ops", "--size", 5, "--size", 3, "--batch-size", 2, "--in-channels", 1, "--out-channels", 3]
OPS += ["--kernel", 2, "--repeats", 4, "--threads", 1, "--device", "cpu"]


def test_bench_ops_times_what_it_is_told(answer: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[object] = []
    real = np.random.default_rng
    monkeypatch.setattr(np.random, "default_rng", lambda seed=None: seeds.append(seed) or real(seed))
    code, document, _ = answer(*OPS, "--seed", 11)
    assert code == 0
    assert document["schema"] == "nnkit.bench-ops/1"
    asked = ("batch", "in_channels", "out_channels", "kernel", "threads", "device")
    assert [document[key] for key in asked] == [2, 1, 3, 2, 1, "cpu"]
    assert list(dict.fromkeys(cell["size"] for cell in document["cells"])) == [5, 3]
    assert {cell["n"] for cell in document["cells"] if cell["name"] != "naive"} == {4}
    assert 11 in seeds


def test_bench_ops_prints_its_table_and_the_files_it_wrote(
    shown: Show, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = shown(*OPS, "--out", tmp_path, width=120)
    table, _, paths = text.rpartition("\n\n")
    assert paths.splitlines() == [str(tmp_path / "bench-ops.png"), str(tmp_path / "bench-ops.csv")]
    assert all(path.is_file() for path in map(Path, paths.splitlines()))
    rows = (tmp_path / "bench-ops.csv").read_text().splitlines()
    assert len(rows) == 1 + 2 * 5
    assert table.count("×3") + table.count("×5") == 2 * 5
    assert max(map(len, shown(*OPS, width=60).splitlines()[1:])) <= 60


def test_bench_prints_what_it_saved_and_compare_reads_it(
    shown: Show, answer: Ask, photographs: str, tmp_path: Path
) -> None:
    words = ["bench", "--dataset", photographs, "--batch-size", "2,3", "--drop-last", "true", "--repeats", 4]
    words += ["--limit", 3, "--threads", 1, "--min-effect", 0.5, "--seed", 9, "--input", "float,uint8"]
    code, document, err = answer(*words, "--out", tmp_path / "a")
    assert code == 0, err
    assert document == json.loads((tmp_path / "a" / "bench.json").read_text())
    assert [document[key] for key in ("repeats", "images", "min_effect", "seed")] == [4, 3, 0.5, 9]
    exact = {arm["name"]: arm for arm in document["arms"]}
    assert {"exact", "exact (uint8 in)"} <= set(exact)
    assert [(c["batch_size"], c["drop_last"], c["n"]) for c in exact["exact"]["cells"]] == [
        (2, True, 4),
        (3, True, 4),
    ]
    assert "nnkit: round 4 of 4" in err

    text = shown(*words, "--out", tmp_path / "b", width=100)
    again = json.loads((tmp_path / "b" / "bench.json").read_text())
    files = [str(tmp_path / "b" / f"bench.{kind}") for kind in ("csv", "json", "md", "png")]
    assert (
        text == bench_table(BenchResult.model_validate(again), width=100) + "\n\n" + "\n".join(files) + "\n"
    )

    code, compared, _ = answer(
        "bench", "compare", tmp_path / "a", tmp_path / "b" / "bench.json", "--min-effect", 1_000_000
    )
    assert (code, compared["schema"], compared["fail_above"]) == (0, "nnkit.bench-compare/1", None)
    assert {cell["verdict"] for cell in compared["cells"]} == {"no difference"}
    assert (compared["a"], compared["b"]) == (str(tmp_path / "a"), str(tmp_path / "b" / "bench.json"))
    text = shown(
        "bench",
        "compare",
        tmp_path / "a",
        tmp_path / "b" / "bench.json",
        "--min-effect",
        1_000_000,
        width=100,
    )
    assert text == bench_compare_table(BenchCompareResult.model_validate(compared), width=100) + "\n"


def test_bench_makes_its_folder_under_the_runs_folder(shown: Show, photographs: str, tmp_path: Path) -> None:
    text = shown("bench", "--dataset", photographs, "--limit", 2, "--repeats", 3, "--runs-dir", tmp_path)
    (folder,) = (tmp_path / "bench").iterdir()
    assert "cifar-transform" in folder.name
    assert text.endswith(f"{folder / 'bench.png'}\n")


@pytest.fixture
def shades(tmp_path: Path) -> str:
    folder = tmp_path / "shades"
    write_folder(folder, {f"{kind}/{at}.png": random_png(at, 10, 10) for kind in "ab" for at in range(10)})
    return f"image-folder:path={folder}"


COMPARE = [
    "compare-pooling",
    "--seeds",
    "2",
    "--epochs",
    1,
    "--budget",
    5600,
    "--threads",
    1,
    "--device",
    "cpu",
]


def test_compare_pooling_prints_the_summary_it_left(
    shown: Show, answer: Ask, shades: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])
    words = [
        *COMPARE,
        "--dataset",
        shades,
        "--pooling",
        "amax",
        "--pooling",
        "mse",
        "--out",
        tmp_path / "out",
    ]
    code, document, err = answer(*words, "--lr", 0.125, "--batch-size", 5, "--limit", 6)
    assert code == 0, err
    assert document == json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [document[key] for key in ("seeds", "epochs", "budget")] == [[2], 1, 5600]
    assert "cell 1/2: amax, width " in err
    assert "cell 2/2: mse, width " in err
    assert [row["pooling"] for row in document["results"]] == ["amax", "mse"]
    again = [*words, "--lr", 0.125, "--batch-size", 5, "--limit", 6]
    assert (
        shown(*again, width=90)
        == comparison_table(ComparePoolingResult.model_validate(document), width=90) + "\n"
    )
    for path in tmp_path.glob("out/cells/*/config.toml"):
        text = path.read_text()
        assert "lr = 0.125\n" in text
        assert "batch_size = 5\n" in text
        assert "limit = 6\n" in text
        assert "seed = 2\n" in text


def test_check_plugin_tells_a_dataset_where_to_look(answer: Ask, tmp_path: Path) -> None:
    Placed.places.clear()
    code, document, _ = answer("check-plugin", "cli-data", "--data-root", tmp_path, "--download")
    assert (code, document["package"], document["failed"]) == (0, "cli-data", 0)
    assert (tmp_path, True) in {(place.root, place.download) for place in Placed.places}
