"""Training on images of any size, from the option to the records."""

from __future__ import annotations

import json
import logging
import math
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from data.image_files import random_png, write_folder
from nnkit.api import compare_pooling, evaluate, train
from nnkit.errors import UsageError
from nnkit.results.train import TrainResult
from nnkit.runs import weights as weight_files
from nnkit.types import EpochResult, StepResult
from tiny_plugin import TinyPlugin


@pytest.fixture
def pets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Trains on a folder of 120 images of many sizes, with the bucket settings that are given."""
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])
    monkeypatch.setenv("NNKIT_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    sides = rng.integers(8, 20, (120, 2)).tolist()
    files = {
        f"{'cat' if number % 2 else 'dog'}/{number:03}.png": random_png(number, height, width)
        for number, (height, width) in enumerate(sides)
    }
    folder = write_folder(tmp_path / "pets", files)

    def run(bucketing: str = "", *, more: str = "", **options: Any) -> TrainResult:
        usual = {
            "dataset": f"image-folder:path={folder}{more}",
            **({"bucketing": bucketing} if bucketing else {}),
            "model": "varres-net:width=4",
            "epochs": 1,
            "batch_size": 16,
            "threads": 1,
        }
        return train(**{**usual, "runs_dir": tmp_path / "runs", **options})

    return run


class Seen:
    """An observer that keeps what it is shown."""

    def __init__(self) -> None:
        self.steps: list[StepResult] = []
        self.epochs: list[EpochResult] = []

    def on_step(self, step: StepResult) -> None:
        self.steps.append(step)

    def on_epoch(self, epoch: EpochResult) -> None:
        self.epochs.append(epoch)


def weights(result: TrainResult) -> dict[str, torch.Tensor]:
    return weight_files.load_bare(result.run_dir)[0].state_dict()


@pytest.mark.parametrize(
    "settings",
    [
        "",
        "tolerance=0.3",
        "max_buckets=2",
        "max_buckets=4,max_pixels=2000",
        "max_buckets=2,pad_to=batch",
        "max_buckets=2,resize_policy=resize",
        "resize_policy=letterbox,size=9x12",
        "leftovers=merge",
    ],
)
def test_a_folder_of_any_sizes_trains_under_each_policy(pets: Any, settings: str) -> None:
    seen = Seen()
    result = pets(settings, observers=[seen])
    assert sum(step.num_images for step in seen.steps) == 96
    assert np.isfinite(result.best["metrics"]["loss"])
    assert result.test is not None
    sizes = result.test["accuracy_by_resolution"]
    assert 3 < len(sizes) <= 12, "metrics are reported per range of original sizes"
    assert any(" to " in name for name in sizes)
    again = evaluate(result.run_dir, split="test", threads=1)
    assert again.metrics["accuracy_by_resolution"] == sizes
    assert again.metrics["loss"] == pytest.approx(result.test["loss"])


def test_a_folder_of_an_image_per_size_is_told_by_the_same_ranges_in_every_epoch_and_evaluation(
    pets: Any,
) -> None:
    seen = Seen()
    result = pets("resize_policy=resize,size=8x8", epochs=3, observers=[seen])
    keys = [set(epoch.by_resolution) for epoch in seen.epochs]
    assert keys[0] == keys[1] == keys[2] == set(result.best["metrics"]["accuracy_by_resolution"])
    found = evaluate(result.run_dir, split="train", threads=1)
    names = list(found.metrics["accuracy_by_resolution"])
    assert len(names) == 12
    assert keys[0] <= set(names)
    assert set(result.test["accuracy_by_resolution"]) <= set(names)  # type: ignore[index]
    assert list(found.confusion) == ["all", *names]
    counts = {key: np.sum(matrix) for key, matrix in found.confusion.items()}
    assert counts["all"] == sum(counts[key] for key in names) == 96
    few = evaluate(result.run_dir, split="train", limit=30, threads=1)
    assert set(few.metrics["accuracy_by_resolution"]) <= set(names)
    small = pets("resize_policy=resize,size=8x8", limit=8)
    assert set(small.test["accuracy_by_resolution"]) <= set(names)


@pytest.mark.parametrize(
    "options", [{"optimizer": "lbfgs"}, {"ema": 0.5}, {"augment": "affine"}, {"precision": "bf16"}]
)
def test_masks_reach_the_model_in_every_way_of_training(pets: Any, options: dict[str, Any]) -> None:
    assert pets("max_buckets=2", limit=40, **options).epochs == 1


def test_the_loss_of_an_epoch_is_that_of_the_images_seen(pets: Any, caplog: pytest.LogCaptureFixture) -> None:
    seen = Seen()
    with caplog.at_level(logging.WARNING, logger="nnkit"):
        pets("max_buckets=3,leftovers=drop", observers=[seen])
    epoch = seen.epochs[0]
    num_seen = sum(step.num_images for step in seen.steps)
    assert {step.num_images for step in seen.steps} == {16}
    assert num_seen < 96
    told = [record.getMessage() for record in caplog.records if "leftovers=drop" in record.getMessage()]
    assert len(told) == 1
    assert f"{96 - num_seen} of 96 training images are in no batch" in told[0]
    mean = sum(float(step.loss) * step.num_images for step in seen.steps) / num_seen
    assert epoch.metrics["train_loss"] == pytest.approx(mean, rel=1e-6)
    assert epoch.images_per_s * epoch.train_s == pytest.approx(num_seen)


def test_the_schedule_counts_the_steps_that_are_taken(pets: Any) -> None:
    seen = Seen()
    pets("max_buckets=1", schedule="cosine", lr=0.01, observers=[seen])
    rates = [step.learning_rate for step in seen.steps]
    assert rates == pytest.approx([0.005 * (1 + math.cos(math.pi * step / 6)) for step in range(6)])


def test_images_left_in_their_files_train_to_the_same_weights(pets: Any) -> None:
    held = pets("max_buckets=2", augment="affine")
    read = pets("max_buckets=2", more=",in_memory=false,num_workers=1", augment="affine")
    other = weights(read)
    assert all(torch.equal(value, other[key]) for key, value in weights(held).items())
    assert held.test == read.test


@pytest.mark.parametrize(
    ("settings", "options", "said"),
    [
        ("max_buckets=2", {"model": "tiny-net"}, "takes no mask"),
        ("leftovers=drop", {"batch_size": 90}, "leaves nothing to train on"),
        ("tolerance=-1", {}, "tolerance"),
        ("resize_policy=pad,tolerance=1", {}, "tolerance"),
    ],
)
def test_what_cannot_train_is_refused_before_anything_is_written(
    pets: Any, tmp_path: Path, tiny: TinyPlugin, settings: str, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        pets(settings, **options)
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_stops_the_workers_too_ends_a_run_as_it_does_without_them(
    tmp_path: Path, number: int, code: int
) -> None:
    files = {f"{'ab'[at % 2]}/{at}.png": random_png(at, 8 + at % 9, 9) for at in range(100)}
    folder, out = write_folder(tmp_path / "pets", files), tmp_path / "run"
    dataset = f"image-folder:path={folder},in_memory=false,num_workers=2"
    command = [sys.executable, "-m", "nnkit", "train", "--dataset", dataset, "--epochs", "100000"]
    env = {**os.environ, "NNKIT_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*command, "--out", str(out)], env=env, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    log = out / "metrics.jsonl"
    while process.poll() is None and not (log.is_file() and log.stat().st_size):
        time.sleep(0.05)
    os.killpg(process.pid, number)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == code, said
    assert json.loads((out / "status.json").read_text())["state"] == "interrupted"
    assert not _is_left(process.pid)


def _is_left(group: int) -> bool:
    """Whether a process of the group is still there after ten seconds."""
    for _ in range(200):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize(
    ("bucketing", "more", "written"),
    [
        ("resize_policy=resize", "", {"resize_policy": "resize", "size": "14x14"}),
        ("resize_policy=pad,size=24x20", "", {"resize_policy": "pad", "size": "24x20"}),
        ("", ",mode=pad,size=22", {"resize_policy": "pad", "size": "22x22"}),
        ("", ",mode=bucket", None),
    ],
)
def test_the_run_holds_the_size_that_was_chosen_and_a_model_that_takes_it(
    pets: Any, caplog: pytest.LogCaptureFixture, bucketing: str, more: str, written: dict[str, str] | None
) -> None:
    with caplog.at_level(logging.WARNING, logger="nnkit"):
        result = pets(bucketing, more=more, model=None, limit=30)
    assert ("--bucketing" in caplog.text or "deprecated" in caplog.text) == bool(more)
    config = tomllib.loads((result.run_dir / "config.toml").read_text())
    assert config.get("bucketing") == written
    assert config["model"] == ("mnist-convnet" if written else "varres-net")
    assert "mode" not in config["dataset"]
    assert evaluate(result.run_dir, limit=30).metrics == result.test


def test_a_run_of_the_old_spelling_is_still_evaluated(pets: Any) -> None:
    result = pets("max_buckets=2,resize_policy=resize", limit=30)
    config = result.run_dir / "config.toml"
    text, _, _ = config.read_text().partition("\n[bucketing]")
    config.write_text(text.replace('/pets"', '/pets,max_buckets=2,fit=resize"'))
    assert "fit" in config.read_text()
    assert evaluate(result.run_dir, limit=30).metrics == result.test


def test_a_run_without_test_images_trains_and_has_no_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])
    files = {
        f"{split}/{kind}/{number}.png": random_png(number, 9, 9)
        for split in ("train", "val")
        for kind in ("cat", "dog")
        for number in range(6)
    }
    dataset = f"image-folder:path={write_folder(tmp_path / 'pets', files)}"
    with caplog.at_level(logging.WARNING, logger="nnkit"):
        result = train(dataset=dataset, epochs=1, threads=1, runs_dir=tmp_path / "runs")
    assert result.test is None
    assert "no folder test/" in caplog.text
    assert evaluate(result.run_dir, split="val", threads=1).images == 12
    with pytest.raises(UsageError, match="no image in the split test"):
        evaluate(result.run_dir, threads=1)
    with pytest.raises(UsageError, match="no test images"):
        compare_pooling(dataset=dataset, seeds="0", epochs=1, runs_dir=tmp_path / "runs")


def test_an_image_too_small_for_a_module_is_told_in_our_words(tmp_path: Path) -> None:
    files = {f"{kind}/{n}.png": random_png(n, 5 if n == 3 else 16, 12) for kind in "ab" for n in range(20)}
    dataset = f"image-folder:path={write_folder(tmp_path / 'pets', files)}"
    layers = nn.Conv2d(1, 4, 7), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    with pytest.raises(UsageError, match=r"takes no image of 5×12 pixels, and train has one(\n|$)") as caught:
        train(dataset=dataset, model=nn.Sequential(*layers), epochs=1, threads=1, out=tmp_path / "run")
    assert "resize_policy=resize" in caught.value.hint


def test_an_image_too_small_for_the_model_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"{kind}/{n}.png": random_png(n, 5 if n == 3 else 16, 12) for kind in "ab" for n in range(20)}
    dataset = f"image-folder:path={write_folder(tmp_path / 'pets', files)}"
    for bucketing in ("max_buckets=1", None):
        with pytest.raises(UsageError, match="takes no image of 5×12"):
            train(dataset=dataset, bucketing=bucketing, epochs=1, threads=1, runs_dir=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
