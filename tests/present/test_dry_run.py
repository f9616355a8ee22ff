"""A dry run shows every value of the configuration, and where each comes from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nnkit import files
from nnkit.config import Resolved, dump, resolve
from nnkit.present.dry_run import dry_run_table
from nnkit.studies.bench.config import BenchConfig
from nnkit.studies.dry_run import describe
from nnkit.studies.train.config import TrainConfig
from present.reading import read_table, squeezed


@pytest.fixture
def resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Resolved[TrainConfig]:
    monkeypatch.delenv("NNKIT_DATA", raising=False)
    monkeypatch.setenv("NNKIT_RUNS", "elsewhere")
    config = tmp_path / "a.toml"
    config.write_text('epochs = 3\n[model]\nname = "varres-net"\nwidth = 8\n')
    options = {"lr": 0.25, "stop": ["patience:patience=2", "time-limit:minutes=3"], "compile": True}
    sets = ["optimizer.weight_decay=0.5", "model.pooling=avg"]
    return resolve(TrainConfig, options, files=[config], sets=sets)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_each_value_has_its_row_and_origin(
    resolved: Resolved[TrainConfig], width: int, tmp_path: Path
) -> None:
    rows = read_table(dry_run_table(describe("train", resolved), width=width), "key", "value", "from")
    shown = {row["key"]: (row["value"], row["from"]) for row in rows}
    assert len(shown) == len(rows)
    file = squeezed(f"file {tmp_path / 'a.toml'}")
    wanted = {
        "epochs": ("3", file),
        "optimizer.lr": ("0.25", "option--lr"),
        "stop": ("patience:patience=2;time-limit:minutes=3", "option--stop"),
        "compile": ("true", "option--compile"),
        "runs_dir": ("elsewhere", "environmentNNKIT_RUNS"),
        "dataset": ("digits", "default"),
        "test": ("true", "default"),
        "model.pooling": ("avg", "--set"),
        "optimizer.weight_decay": ("0.5", "--set"),
        "batch_size": ("64", "default"),
    }
    assert {key: tuple(map(squeezed, shown[key])) for key in wanted} == wanted
    assert squeezed(shown["model"][0]).startswith("varres-net")
    assert "width=8" in squeezed(shown["model"][0])
    changed = {"model.pooling", "optimizer.lr", "optimizer.weight_decay"}
    assert set(dump(resolved.config)) | changed == set(shown)


def test_a_list_of_values_is_shown_with_all_of_them() -> None:
    resolved = resolve(
        BenchConfig, {"batch_size": "4,8", "shuffle": "true,false", "model": ["linear", "separable"]}
    )
    rows = {
        row["key"]: row["value"]
        for row in read_table(dry_run_table(describe("train", resolved), width=120), "key", "value", "from")
    }
    assert (rows["batch_size"], rows["shuffle"], rows["model"]) == (
        "4; 8",
        "true; false",
        "linear; separable",
    )


def test_the_document_is_the_configuration_with_an_origin_for_each_key(
    resolved: Resolved[TrainConfig],
) -> None:
    document = json.loads(files.dumps(describe("train", resolved).document()))
    assert document["schema"] == "nnkit.train.dry-run/1"
    assert document["config"] == dump(resolved.config)
    assert set(document["origins"]) == {*document["config"], *resolved.origins}
    assert document["origins"]["optimizer.lr"] == "option --lr"
    assert document["origins"]["batch_size"] == "default"
    assert document["origins"]["optimizer.weight_decay"] == "--set"
