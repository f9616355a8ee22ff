"""A changed checkpoint or config.toml is told of in one clean message, never read as something else."""

from __future__ import annotations

import json
import struct
import time
from pathlib import Path

import numpy as np
import pytest

import nnkit
from checkpoint_files import best_file
from data.image_files import mutated
from nnkit.api import evaluate, train
from nnkit.config import resolve
from nnkit.data import tensor_files
from nnkit.errors import CheckpointError, NnkitError
from nnkit.studies.train.config import TrainConfig
from nnkit.studies.train.experiment import complete
from tiny_plugin import TinyPlugin


@pytest.fixture
def run(tiny: TinyPlugin, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])
    return train(dataset="tiny", epochs=1, limit=30, runs_dir=tiny.runs).run_dir


def test_two_hundred_mutations_of_the_weights_are_all_noticed(run: Path) -> None:
    path, rng = best_file(run), np.random.default_rng(0)
    whole = path.read_bytes()
    started = time.monotonic()
    for _ in range(200):
        changed = mutated(whole, rng)
        if changed == whole:
            continue
        path.write_bytes(changed)
        with pytest.raises(CheckpointError) as error:
            nnkit.load(run)
        assert str(path) in error.value.message
        assert "\n" not in error.value.message
    assert time.monotonic() - started < 20
    path.write_bytes(whole)
    nnkit.load(run)


@pytest.mark.parametrize("size", [0, 1, 2**31, 2**63])
def test_a_huge_header_takes_no_memory(run: Path, size: int) -> None:
    path = best_file(run)
    path.write_bytes(struct.pack("<Q", size) + path.read_bytes()[8:])
    with pytest.raises(CheckpointError):
        nnkit.load(run)


def test_two_hundred_mutations_of_the_config_are_read_or_refused_cleanly(run: Path) -> None:
    path, rng = run / "config.toml", np.random.default_rng(1)
    whole = path.read_bytes()
    messages = []
    for _ in range(200):
        path.write_bytes(mutated(whole, rng))
        try:
            complete(resolve(TrainConfig, {}, files=[path]))
        except NnkitError as error:
            messages.append(error.message)
    assert 50 < len(messages) < 200
    assert max(map(len, messages)) < 4000


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
