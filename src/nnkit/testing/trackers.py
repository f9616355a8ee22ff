"""Checks for trackers: whatever a run gives them they take, and they draw no random number."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import torch

from nnkit.runs.directory import RunDirectory
from nnkit.testing.subject import Subject, images
from nnkit.types import TrackedEvent, TrackedResult, TrackedRun, Tracker

CONFIG = {"dataset": {"name": "digits"}, "model": "mnist-convnet", "epochs": 2, "stop": [], "lr": None}
NAN, INF = float("nan"), float("inf")


def _made(subject: Subject) -> Tracker:
    tracker = subject.make()
    assert isinstance(tracker, Tracker), (
        f"{type(tracker).__name__} lacks one of the methods start, log, finish"
    )
    return tracker


def _follow(tracker: Tracker, folder: Path, *, first: int = 0) -> None:
    """Give a tracker a run of two epochs of three steps, the second diverging, and a picture."""
    from PIL import Image

    tracker.start(TrackedRun(folder, CONFIG, first))
    step = first
    for epoch, loss in ((1, 0.5), (2, NAN)):
        for _ in range(3):
            step += 1
            tracker.log(TrackedEvent("step", step, epoch, {"loss": loss, "learning_rate": 0.1}))
        values = {"train_loss": loss, "val_accuracy": 0.5, "images_per_s": INF}
        tracker.log(TrackedEvent("epoch", step, epoch, values))
    path = folder / "curves.png"
    Image.fromarray(images(1, {"in_channels": 1, "image_size": (8, 8)})[0, 0].byte().numpy()).save(path)
    tracker.log(TrackedEvent("figure", step, 2, figure=path))
    tracker.finish(TrackedResult("finished", {"epochs": 2, "test": None}))


def takes_a_whole_run(subject: Subject) -> None:
    """Steps, epochs, values that are not finite, a picture and the end."""
    with tempfile.TemporaryDirectory() as folder:
        _follow(_made(subject), Path(folder))


def takes_a_run_that_is_resumed(subject: Subject) -> None:
    """A new tracker of the same settings goes on at a later step, in the same folder."""
    with tempfile.TemporaryDirectory() as folder:
        _follow(_made(subject), Path(folder))
        _follow(_made(subject), Path(folder), first=6)


def takes_a_run_that_ends_at_once(subject: Subject) -> None:
    """No step, no epoch: failed or interrupted before the first."""
    for result in (TrackedResult("failed"), TrackedResult("interrupted")):
        with tempfile.TemporaryDirectory() as folder:
            tracker = _made(subject)
            tracker.start(TrackedRun(Path(folder), CONFIG))
            tracker.finish(result)


def leaves_the_record_alone(subject: Subject) -> None:
    """It writes into no file of the run; beside them it may keep its own."""
    with tempfile.TemporaryDirectory() as name:
        record = RunDirectory(Path(name)).summary_path
        record.write_text(json.dumps(CONFIG))
        _follow(_made(subject), Path(name))
        assert record.is_file(), "it removes a file of the run"
        assert record.read_text() == json.dumps(CONFIG), "it changes a file of the run"


def draws_no_random_number(subject: Subject) -> None:
    """torch's generator is as before: a run with it equals one without to the bit."""
    before = torch.random.get_rng_state()
    with tempfile.TemporaryDirectory() as folder:
        _follow(_made(subject), Path(folder))
    assert torch.equal(torch.random.get_rng_state(), before), "it draws from torch's generator"
