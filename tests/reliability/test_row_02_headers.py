"""Row 2 of docs/reliability.md: headers and configurations that were made to deceive are refused by name."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

import nnkit
from checkpoint_files import best_file
from nnkit.api import evaluate, train
from nnkit.data import tensor_files
from nnkit.errors import CheckpointError, NnkitError
from tiny_plugin import TinyPlugin


@pytest.fixture
def run(tiny: TinyPlugin, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])
    return train(dataset="tiny", epochs=1, limit=30, runs_dir=tiny.runs).run_dir


@pytest.mark.parametrize("size", [0, 1, 2**31, 2**63])
def test_a_huge_header_takes_no_memory(run: Path, size: int) -> None:
    path = best_file(run)
    path.write_bytes(struct.pack("<Q", size) + path.read_bytes()[8:])
    with pytest.raises(CheckpointError):
        nnkit.load(run)


@pytest.mark.parametrize(
    "text",
    ["", "[", "dataset = 5", "x" * 100_000, "[" * 5000, "epochs = 1e999", 'loss = "nope"', "\0"],
)
def test_evaluate_of_a_run_with_a_broken_config_is_one_message(run: Path, text: str) -> None:
    (run / "config.toml").write_text(text)
    if text:
        with pytest.raises(NnkitError):
            evaluate(run, dataset="tiny")
    else:
        assert evaluate(run, dataset="tiny").images == 45


@pytest.mark.parametrize(
    "change",
    [
        {"known": None}, {"known": {"num_classes": "three", "in_channels": 1}}, {"known": {"image_size": 5}},
        {"known": {"num_classes": 30, "in_channels": 1}}, {"mean": [0.1, 0.2]}, {"std": [0.0]}, {"std": None},
        {"task": 5}, {"format": 2}, {"class_names": 7}, {"model": "tiny-net:dropout=high"}, {"epoch": "x"},
    ],
    ids=json.dumps,
)  # fmt: skip
def test_a_header_that_makes_no_sense_is_refused(run: Path, change: dict[str, object]) -> None:
    path = best_file(run)
    tensors, header = tensor_files.read(path)
    tensor_files.save(path, tensors, {**header, **change})
    with pytest.raises(NnkitError):
        evaluate(run)
