"""From a command to its first batch: few calls, and each thing made once."""

from __future__ import annotations

import functools
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

import nnkit
import tiny_plugin
from nnkit.cli.main import run
from nnkit.data import loaders
from nnkit.data.loaders import TrainLoader
from nnkit.studies.train import experiment
from tiny_plugin import TinyPlugin

ROOT = Path(nnkit.__file__).parent
MOST_CALLS = 6
"""cli/train.py, api.py, studies/train, training/loop.py, the loader, and Typer's own."""


@pytest.fixture(autouse=True)
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each thing is constructed."""
    counted: Counter[str] = Counter()

    def count(owner: Any, name: str, key: str) -> None:
        original = getattr(owner, name)

        @functools.wraps(original)
        def counting(*args: Any, **kwargs: Any) -> Any:
            counted[key] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, counting)

    count(tiny_plugin.Tiny, "__init__", "dataset")
    count(tiny_plugin.TinyNet, "__init__", "model")
    count(torch.optim.Adam, "__init__", "optimizer")
    count(torch.nn.CrossEntropyLoss, "__init__", "loss")
    count(experiment, "describe_mistakes", "completion of the configuration")
    original = loaders.plan_batches

    def planned(*args: Any, **kwargs: Any) -> Any:
        if kwargs.get("shuffle", True):
            counted[f"plan of epoch {kwargs['epoch']}"] += 1
        return original(*args, **kwargs)

    monkeypatch.setattr(loaders, "plan_batches", planned)
    return counted


def command(tiny: TinyPlugin, *more: str) -> int:
    words = ["--dataset", "tiny", "--epochs", "2", "--limit", "30", "--schedule", "cosine", "--quiet"]
    return run(["train", *words, "--runs-dir", str(tiny.runs), "--no-test", *more])


def test_each_component_is_made_once_and_each_epoch_planned_once(
    tiny: TinyPlugin, made: Counter[str]
) -> None:
    assert command(tiny) == 0
    assert made == {
        "completion of the configuration": 1, "dataset": 1, "model": 1, "optimizer": 1, "loss": 1,
        "plan of epoch 1": 1, "plan of epoch 2": 1,
    }  # fmt: skip


def test_a_dry_run_makes_the_dataset_alone(tiny: TinyPlugin, made: Counter[str]) -> None:
    assert command(tiny, "--dry-run") == 0
    assert made == {"completion of the configuration": 1, "dataset": 1}


def test_from_the_command_to_the_first_batch_there_are_few_calls(
    tiny: TinyPlugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways: list[list[str]] = []
    original = TrainLoader.load

    def load(self: TrainLoader, plan: Any, **more: Any) -> Any:
        frame, way = sys._getframe(1), list[str]()
        while frame is not None:
            path = Path(frame.f_code.co_filename)
            if path.is_relative_to(ROOT):
                way.append(str(path.relative_to(ROOT)))
            frame = frame.f_back  # type: ignore[assignment]
        ways.append(way[::-1])
        return original(self, plan, **more)

    monkeypatch.setattr(TrainLoader, "load", load)
    assert command(tiny) == 0
    way = ways[0]
    assert way.pop(0) == "cli/main.py"
    assert way == ["cli/train.py", "api.py", "studies/train/study.py", "training/loop.py"]
    assert len(way) + len(["the loader", "Typer"]) <= MOST_CALLS
