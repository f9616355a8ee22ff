"""docs/schemas holds what each command prints with --json; NNKIT_REFRESH_GOLDEN=1 writes it anew."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from data.image_files import encoded, write_folder
from fake_plugins import write_plugin
from nnkit import registry
from nnkit.cli.main import run
from nnkit.results.schemas import RESULTS, json_schema, write
from tiny_plugin import ENTRY_POINTS

FOLDER = Path(__file__).parents[2] / "docs" / "schemas"


@pytest.mark.parametrize("name", RESULTS)
def test_each_schema_is_that_of_the_type(name: str) -> None:
    if os.environ.get("NNKIT_REFRESH_GOLDEN"):
        write(FOLDER)
    schema = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    assert schema == json_schema(RESULTS[name]), "`make schemas` writes them anew"
    Draft202012Validator.check_schema(schema)


def test_no_schema_is_of_a_result_that_is_gone() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(RESULTS)


@pytest.mark.parametrize("name", RESULTS)
def test_a_schema_leaves_nothing_open_but_settings_and_facts(name: str) -> None:
    """A part without a type would let everything pass."""
    schema: Any = json_schema(RESULTS[name])
    parts = {name: schema, **schema.get("$defs", {})}
    for title, part in parts.items():
        for key, value in part.get("properties", {}).items():
            assert value.keys() - {"title", "default", "description"}, f"{title}.{key} may be anything"


Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Runs a command with --json and holds what it prints against a schema."""
    site = tmp_path_factory.mktemp("site")
    write_plugin(site, "tiny-plugin", ENTRY_POINTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        patch.setenv("NNKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("NNKIT_RUNS", str(tmp_path_factory.mktemp("runs")))
        for variable in ("NNKIT_PLUGINS", "NNKIT_DATA"):
            patch.delenv(variable, raising=False)
        registry.refresh()

        def call(capsys: pytest.CaptureFixture[str], name: str, *words: object) -> Any:
            assert run([str(word) for word in words] + ["--json", "--quiet"]) in (0, 3, 4)
            document = json.loads(capsys.readouterr().out)
            schema = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
            errors = list(Draft202012Validator(schema).iter_errors(document))
            assert not errors, errors[0].message
            return document

        yield call
    registry.refresh()


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> str:
    rng = np.random.default_rng(0)
    drawn = {f"{at:02}.png": encoded(rng.integers(0, 256, (12, 10, 3)).astype(np.uint8)) for at in range(20)}
    folder = write_folder(tmp_path_factory.mktemp("photographs"), drawn)
    return f"cifar-transform:source={folder},pipeline='resize(8),grayscale,hflip'"


CPU = ("--device", "cpu", "--threads", 1)


def test_training_evaluation_and_runs(
    ask: Ask, capsys: pytest.CaptureFixture[str], photographs: str, tmp_path: Path
) -> None:
    tiny = ["train", "--dataset", "tiny:several=true", "--epochs", 1, *CPU]
    document = ask(capsys, "train", *tiny, "--out", tmp_path / "a")
    assert document["test"]["accuracy_by_resolution"]
    ask(capsys, "train", *tiny, "--out", tmp_path / "b", "--no-test")
    fit = ["train", "--dataset", photographs, "--model", "separable:band=3", "--solver", "als", *CPU]
    assert "dropped" in ask(capsys, "train", *fit, "--out", tmp_path / "c")["solver"]
    ask(capsys, "dry-run", *tiny, "--dry-run")
    ask(capsys, "evaluate", "evaluate", tmp_path / "a", *CPU)
    ask(capsys, "evaluate", "evaluate", tmp_path / "c", *CPU)
    ask(capsys, "runs-show", "runs", "show", tmp_path / "a")
    ask(capsys, "runs-list", "runs", "list")


def test_a_training_with_several_seeds(ask: Ask, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["train", "--dataset", "tiny:several=true", "--epochs", 1, *CPU]
    document = ask(capsys, "train-seeds", *words, "--seeds", "0-2", "--out", tmp_path / "three")
    assert all(0 <= end <= 1 for over in ("validation", "test") for end in document[over]["ci95"])
    assert ask(capsys, "train-seeds", *words, "--seeds", 4, "--out", tmp_path / "one")["test"]["ci95"] is None
    ask(capsys, "train-seeds", *words, "--seeds", "0-1", "--no-test", "--out", tmp_path / "untested")
    ask(capsys, "dry-run", *words, "--seeds", "0-1", "--dry-run")
    ask(capsys, "runs-show", "runs", "show", tmp_path / "three")
    ask(capsys, "runs-list", "runs", "list", "--runs-dir", tmp_path)


def test_benchmarks(ask: Ask, capsys: pytest.CaptureFixture[str], photographs: str, tmp_path: Path) -> None:
    words = ["bench", "--dataset", photographs, "--limit", 3, "--repeats", 3, "--threads", 1]
    words += ["--device", "cpu,cuda:7", "--model", "separable"]
    ask(capsys, "bench", *words, "--out", tmp_path / "a")
    ask(capsys, "bench-compare", "bench", "compare", tmp_path / "a", tmp_path / "a")
    ops = ["--size", 4, "--batch-size", 1, "--in-channels", 1, "--out-channels", 1, "--repeats", 3, *CPU]
    ask(capsys, "bench-ops", "bench", "ops", *ops)


def test_a_comparison_with_few_and_with_enough_seeds(
    ask: Ask, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    drawn = {
        f"{kind}/{at}.png": encoded(rng.integers(0, 256, (12 + at % 2, 12)).astype(np.uint8))
        for kind in "ab"
        for at in range(20)
    }
    dataset = f"image-folder:path={write_folder(tmp_path / 'images', drawn)}"
    words = ["compare-pooling", "--dataset", dataset, "--epochs", 1, "--budget", 5600, *CPU]
    ask(capsys, "compare-pooling", *words, "--seeds", "1", "--out", tmp_path / "one")
    document = ask(capsys, "compare-pooling", *words, "--seeds", "0-2", "--out", tmp_path / "three")
    assert all(0 <= end <= 1 for row in document["results"] for end in row["accuracy"]["ci95"])
    ask(capsys, "runs-show", "runs", "show", tmp_path / "three")


def test_components_and_plugins(
    ask: Ask, capsys: pytest.CaptureFixture[str], photographs: str, tmp_path: Path
) -> None:
    ask(capsys, "list", "list")
    for spec in (
        "varres-net",
        "patience",
        "tiny:several=true",
        photographs,
        "cifar-transform:source=nowhere",
    ):
        ask(capsys, "info", "info", spec)
    ask(capsys, "doctor", "doctor")
    assert ask(capsys, "cache-list", "cache", "list")["entries"]
    assert ask(capsys, "cache-clear", "cache", "clear", "--older-than", "1d")["left"]
    assert ask(capsys, "cache-clear", "cache", "clear")["removed"]
    ask(capsys, "count-params", "count-params", "mnist-convnet")
    match = ["--match", "8490", "--vary", "hidden"]
    ask(capsys, "count-params", "count-params", "mlp-bottleneck", *match)
    ask(capsys, "new-plugin", "new-plugin", "nnkit-neat", "--kind", "loss", "--out", tmp_path)
    ask(capsys, "check-plugin", "check-plugin", "tiny-plugin")


def test_results_import_no_torch_and_no_numpy() -> None:
    code = (
        "import sys, nnkit.results.schemas\n"
        "print(sorted({'torch', 'numpy', 'scipy', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
