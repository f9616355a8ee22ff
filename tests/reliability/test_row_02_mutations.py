"""Row 2 of docs/reliability.md: 500 mutations of each file that nnkit reads.

Each gives one message or the right result: never a traceback, something else, or a long wait.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

import nnkit
from nnkit import config as configuration
from nnkit.build import build
from nnkit.cli import main
from nnkit.config import resolve
from nnkit.data.splits import limited
from nnkit.errors import NnkitError
from nnkit.runs.directory import RunDirectory
from nnkit.runs.plain_state import pack
from nnkit.spec import parse
from nnkit.studies.paths import data_place
from nnkit.studies.train import study
from nnkit.studies.train.config import TrainConfig
from nnkit.studies.train.experiment import complete, complete_with_dataset, prepare, start_state
from nnkit.studies.train.saving import Saver
from nnkit.training.observers import BestWeights, MetricsLog
from nnkit.types import DataPlace, EpochResult, StepResult
from reliability.damage import damaged, others_in
from tiny_plugin import TinyPlugin

MUTATIONS, FEW = 500, 40
LONGEST_S = 5.0
MOST_MIB = 300
OPTIONS: Mapping[str, Any] = {
    "dataset": "tiny", "limit": 30, "batch_size": 16, "lr": 0.1, "checkpoint_every": "1",
    "stop": ["patience:metric=val_loss,patience=9"],
}  # fmt: skip


class Broken(BaseException):
    """Ends a run like a kill."""


class BreaksOff:
    def on_step(self, step: StepResult) -> None:
        if step.epoch == 3:
            raise Broken

    def on_epoch(self, epoch: EpochResult) -> None:
        pass


class Restored(Exception):
    """A run is at the point from which it goes on; `state` is a hash of all that it goes on with."""

    def __init__(self, state: str) -> None:
        super().__init__(state)
        self.state = state


def hash_of(saver: Saver) -> str:
    state, x, best = saver._state, saver._x, saver._best
    parts = {
        "model": dict(state.model.state_dict()), "optimizer": state.optimizer.state_dict(),
        "place": [state.epoch, state.step], "rules": [rule.state_dict() for _, rule in x.rules],
        "best": best.state_dict(), "weights": best.weights,
        "settings": json.dumps(configuration.dump(x.config, leave_out=("resume",)), default=str),
    }  # fmt: skip
    packed, tensors = pack(parts, "")
    found = hashlib.sha256(json.dumps(packed).encode() + saver._folder.log_path.read_bytes())
    for name in sorted(tensors):
        found.update(tensors[name].numpy().tobytes())
    return found.hexdigest()


@dataclass(frozen=True)
class Runs:
    """A run that was broken off in its third epoch, and one that ended."""

    broken: Path
    done: Path


@pytest.fixture
def runs(tiny: TinyPlugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runs]:
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # thousands of them: no power is lost here
    folder = tmp_path / "runs" / "train"
    with pytest.raises(Broken):
        nnkit.train(**OPTIONS, epochs=4, out=folder / "broken", observers=[BreaksOff()])
    nnkit.train(**OPTIONS, epochs=2, out=folder / "done", seed=5)
    monkeypatch.setattr("nnkit.runs.provenance.full_environment", dict)  # a sixth of the time of a start
    logging.getLogger("nnkit").setLevel(logging.CRITICAL)
    yield Runs(folder / "broken", folder / "done")
    logging.getLogger("nnkit").setLevel(logging.NOTSET)


@pytest.fixture
def resumed(runs: Runs) -> Callable[[], str]:
    """What the broken run goes on with: the part of `--resume` that reads its folder, in milliseconds."""
    settings = resolve(TrainConfig, {"resume": runs.broken}, files=[runs.broken / "config.toml"])
    completed, dataset = complete_with_dataset(settings)
    config = completed.config
    x = prepare(config, limited(dataset.load(data_place(config)), config.limit), torch.device("cpu"))

    def resume() -> str:
        folder, saved = study._old_folder(x, runs.broken)
        try:
            x.rules = [(spec.name, build("stopping_rules", spec)) for spec in config.stop]
            log, best = MetricsLog(folder), BestWeights(x.monitor)
            saver = Saver(folder, x, start_state(x), best, log, 0.0)
            saver.restore(saved)
            return hash_of(saver)
        finally:
            folder.close()

    return resume


@pytest.fixture
def resumed_whole(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """The same by the whole start of `--resume`, up to the first step."""
    restore = Saver.restore

    def stop_there(saver: Saver, saved: Any) -> None:
        restore(saver, saved)
        raise Restored(hash_of(saver))

    def resume() -> str:
        with monkeypatch.context() as patched:
            patched.setattr(Saver, "restore", stop_there)
            with pytest.raises(Restored) as found:
                nnkit.train(resume=runs.broken)
        return found.value.state

    return resume


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def put_back(folder: Path, before: Mapping[Path, bytes]) -> None:
    for path in contents(folder):
        if path not in before:
            path.unlink()
    for path, content in before.items():
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def tried(folder: Path, path: Path, read: Callable[[], object], number: int = MUTATIONS) -> list[object]:
    """What `read` came to with each mutation of a file: its result, or the class of the error."""
    before, rng, found = contents(folder), np.random.default_rng(0), list[object]()
    memory, longest = psutil.Process().memory_info().rss, ""
    for _, content in damaged(before[path], others_in(folder.parent, path), rng, number):
        path.write_bytes(content)
        started = time.monotonic()
        try:
            found.append(read())
        except NnkitError as error:
            found.append(type(error).__name__)
            longest = max(longest, error.message, key=len)
        assert time.monotonic() - started < LONGEST_S
        put_back(folder, before)
    assert psutil.Process().memory_info().rss - memory < MOST_MIB << 20
    assert len(longest) < 5000, longest
    assert len(found) > 0.95 * number
    return found


def told(*arguments: str) -> tuple[int, str]:
    """Exit code and stdout of a command line: a failure is one message, and none is a bug."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main.run(arguments)
    assert code in (0, 1, 2), err.getvalue()
    assert "Traceback" not in err.getvalue()
    assert "bug" not in err.getvalue(), err.getvalue()
    assert ("nnkit: error: " in err.getvalue()) == (code != 0)
    return code, out.getvalue()


def weights_of(run: Path) -> str:
    states = nnkit.load(run).state_dict().values()
    return hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in states)).hexdigest()


def test_a_training_state_is_the_saved_one_or_the_one_before(
    runs: Runs, resumed: Callable[[], str], resumed_whole: Callable[[], str]
) -> None:
    (_, newest), _ = RunDirectory(runs.broken).checkpoints.states()
    whole = contents(runs.broken)
    before = resumed_whole()
    put_back(runs.broken, whole)
    newest.unlink()
    older = resumed_whole()
    put_back(runs.broken, whole)
    assert older != before
    assert set(tried(runs.broken, newest, resumed)) == {older}
    assert set(tried(runs.broken, newest, resumed_whole, FEW)) == {older}


def test_without_a_whole_state_nothing_goes_on(runs: Runs, resumed: Callable[[], str]) -> None:
    (_, newest), (_, older) = RunDirectory(runs.broken).checkpoints.states()
    newest.unlink()
    assert set(tried(runs.broken, older, resumed)) == {"CheckpointError"}


@pytest.mark.parametrize("place", ["broken", "done"])
def test_the_best_weights_are_refused(runs: Runs, place: str) -> None:
    run: Path = getattr(runs, place)
    path = RunDirectory(run).checkpoints.best()
    assert path is not None
    assert set(tried(run, path, lambda: weights_of(run))) == {"CheckpointError"}


def test_a_run_whose_best_weights_are_damaged_goes_on_from_the_checkpoint_before(
    runs: Runs, resumed: Callable[[], str]
) -> None:
    path = RunDirectory(runs.broken).checkpoints.best()
    assert path is not None
    whole = contents(runs.broken)
    path.unlink()
    older = resumed()
    put_back(runs.broken, whole)
    assert set(tried(runs.broken, path, resumed)) == {older}


def test_the_index_is_made_again_from_the_names_of_the_folders(
    runs: Runs, resumed: Callable[[], str]
) -> None:
    whole = contents(runs.broken)
    state, weights = resumed(), weights_of(runs.broken)
    put_back(runs.broken, whole)
    path = runs.broken / "checkpoints/index.json"
    for read, right in ((resumed, state), (lambda: weights_of(runs.broken), weights)):
        found = tried(runs.broken, path, read)
        assert set(found) <= {right, "CheckpointError"}
        assert found.count("CheckpointError") < 0.05 * len(found), "the index of another run is refused"
    shown = tried(runs.broken, path, lambda: told("runs", "show", str(runs.broken))[0], 100)
    assert set(shown) == {0}


def test_a_run_never_goes_on_with_another_configuration(runs: Runs, resumed_whole: Callable[[], str]) -> None:
    whole = contents(runs.broken)
    state = resumed_whole()
    put_back(runs.broken, whole)
    found = tried(runs.broken, runs.broken / "config.toml", resumed_whole)
    assert set(found) <= {state, "UsageError", "ConfigError", "CheckpointError"}
    assert found.count("CheckpointError") > 5, "some can be read and say something else"


def test_a_configuration_is_read_or_refused(runs: Runs) -> None:
    path = runs.broken / "config.toml"

    def read() -> str:
        complete(resolve(TrainConfig, {}, files=[path]))
        return "read"

    found = tried(runs.broken, path, read)
    assert found.count("read") > 5
    assert set(found) == {"read", "UsageError", "ConfigError"}
    arguments = ["train", "--config", str(path), "--dry-run"]
    assert set(tried(runs.broken, path, lambda: told(*arguments)[0], FEW)) <= {0, 2}


def test_a_log_goes_on_as_it_was_or_not_at_all(runs: Runs, resumed: Callable[[], str]) -> None:
    whole, path = contents(runs.broken), runs.broken / "metrics.jsonl"
    (_, newest), _ = RunDirectory(runs.broken).checkpoints.states()
    states = {resumed()}
    put_back(runs.broken, whole)
    newest.unlink()
    states.add(resumed())
    put_back(runs.broken, whole)
    assert set(tried(runs.broken, path, resumed)) == {"CheckpointError", *states}, "also from the older one"
    shown = tried(runs.broken, path, lambda: told("runs", "show", str(runs.broken))[0], 100)
    assert set(shown) == {0, 1}


@pytest.mark.parametrize("name", ["summary.json", "status.json", "environment.json"])
def test_runs_list_and_show_whatever_a_file_holds(runs: Runs, name: str) -> None:
    path = runs.done / name

    def listed() -> int:
        code, out = told("runs", "list", "--runs-dir", str(runs.done.parents[1]), "--json")
        assert len(json.loads(out)["runs"]) == 2
        return code

    assert set(tried(runs.done, path, listed, 100)) == {0}
    shown = tried(runs.done, path, lambda: told("runs", "show", str(runs.done), "--json")[0])
    assert set(shown) == ({0, 1} if name == "summary.json" else {0})


@pytest.mark.parametrize("name", ["status.json", "environment.json"])
def test_a_status_has_no_say_in_what_goes_on(runs: Runs, resumed_whole: Callable[[], str], name: str) -> None:
    whole = contents(runs.broken)
    state = resumed_whole()
    put_back(runs.broken, whole)
    assert set(tried(runs.broken, runs.broken / name, resumed_whole, 100)) == {state}


def test_splits_that_are_not_those_of_the_data_are_refused(runs: Runs, resumed: Callable[[], str]) -> None:
    found = tried(runs.broken, runs.broken / "splits.safetensors", resumed)
    assert set(found) <= {"CheckpointError", "UsageError"}


# Data


@pytest.fixture
def archive(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Two classes of six grey images."""
    rng, folder = np.random.default_rng(0), tmp_path / "images"
    for name in ("cats", "dogs"):
        for split in ("train", "val", "test"):
            (folder / split / name).mkdir(parents=True)
            for at in range(2):
                image = Image.fromarray(rng.integers(0, 256, (6, 6), dtype=np.uint8))
                image.save(folder / split / name / f"{at}.png")
    kinds = {"zip": "zip", "tar": "tar", "tar.gz": "gztar"}
    place = tmp_path / "archives"
    place.mkdir()
    return Path(shutil.make_archive(str(place / "images"), kinds[request.param], folder))


def pixels_of(archive: Path, cache: Path) -> str:
    """All images with their labels and splits, as the dataset gives them."""
    spec = parse(f"image-folder:path={archive}")
    data = build("datasets", spec).load(DataPlace(root=archive.parent, cache=cache, download=False))
    found = hashlib.sha256(repr(data.class_names).encode())
    for split in data.splits.values():
        found.update(split.images.fetch(split.indices)[0].numpy().tobytes())
        found.update(split.targets[split.indices].numpy().tobytes())
    return found.hexdigest()


@pytest.mark.parametrize("archive", ["zip", "tar", "tar.gz"], indirect=True)
def test_an_archive_gives_its_images_or_an_error(
    archive: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = pixels_of(archive, tmp_path / "cache")

    def read() -> str:
        caplog.clear()
        pixels = pixels_of(archive, tmp_path / "cache")
        return "named in a warning" if "bad image files are left out" in caplog.text else pixels

    found = tried(archive.parent, archive, read)
    wrong = set(found) - {whole, "DataError", "UsageError", "named in a warning"}
    assert not wrong, f"{sum(map(wrong.__contains__, found))} times other images, without a word"
    assert found.count("UsageError") < 20, "an archive without an image"
    assert "DataError" in found


@pytest.mark.parametrize("archive", ["tar"], indirect=True)
def test_a_cache_is_read_whole_or_made_again(
    archive: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "nnkit")
    cache = tmp_path / "caches" / "cache"
    os.utime(archive, (0, 0))  # long settled, so that its sha256 is remembered
    whole = pixels_of(archive, cache)
    kinds = {path.suffix for path in cache.iterdir()}
    assert kinds == {".json", ".safetensors"}
    for path in sorted(cache.iterdir()):
        assert set(tried(cache, path, lambda: pixels_of(archive, cache))) == {whole}


# Benchmarks


def test_a_benchmark_is_compared_or_refused(tmp_path: Path) -> None:
    folder = tmp_path / "benchmarks" / "one"
    folder.mkdir(parents=True)
    result = nnkit.bench(limit=4, repeats=3, batch_size=4)
    path = folder / "bench.json"
    path.write_text(json.dumps(result.document()))
    other = tmp_path / "benchmarks" / "other.json"
    other.write_bytes(path.read_bytes()[:-50])
    same = tmp_path / "same.json"
    same.write_bytes(path.read_bytes())

    def compared() -> int:
        return told("bench", "compare", str(path), str(same))[0]

    assert set(tried(folder, path, compared)) <= {0, 2}
