"""Processes that build, read, clear or die over one cache of decoded data: each has the right data."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
import pytest
import torch

from data.image_files import mutated, random_png, write_tgz
from nnkit.data import tensor_files
from nnkit.data.cache import cached
from nnkit.data.sources import load_source
from nnkit.studies.cache import clear_cache

FORK = multiprocessing.get_context("fork")
NUM = 60


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = write_tgz(tmp_path / "pets.tgz", {f"{at:02}.png": random_png(at, 20, 30) for at in range(NUM)})
    os.utime(path, (1e9, 1e9))
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache, in which nothing but whole files may be left."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("NNKIT_CACHE", str(folder))
    yield folder
    assert not list(folder.glob("*.tmp"))
    for path in folder.glob("*.safetensors"):
        tensor_files.read(path)


def pixels(archive: Path, folder: Path) -> bytes:
    return load_source(archive, folder).images.buffer.numpy().tobytes()


def load(archive: Path, folder: Path, times: int, answers: multiprocessing.Queue[bytes]) -> None:
    for _ in range(times):
        answers.put(pixels(archive, folder))


def start(*words: object, target: object = load) -> multiprocessing.process.BaseProcess:
    process = FORK.Process(target=target, args=words)  # type: ignore[arg-type]
    process.start()
    return process


def build_with(barrier: object, folder: Path, answers: multiprocessing.Queue[list[int]]) -> None:
    def make() -> dict[str, torch.Tensor]:
        barrier.wait(30)  # type: ignore[attr-defined]  # both found nothing, and both make it
        return {"a": torch.arange(1000)}

    answers.put(cached(folder, "pets", {"x": 1}, make)["a"].tolist())


def test_two_processes_that_build_one_thing_at_once_leave_one_right_file(cache: Path) -> None:
    barrier, answers = FORK.Barrier(2), FORK.Queue()
    processes = [start(barrier, cache, answers, target=build_with) for _ in range(2)]
    assert [answers.get(timeout=30) for _ in processes] == [list(range(1000))] * 2
    for process in processes:
        process.join()
    (path,) = cache.iterdir()
    assert tensor_files.read(path)[0]["a"].tolist() == list(range(1000))


def test_many_processes_that_start_with_one_archive_read_the_same(archive: Path, cache: Path) -> None:
    answers = FORK.Queue()
    processes = [start(archive, cache, 2, answers) for _ in range(6)]
    found = {answers.get(timeout=60) for _ in range(12)}
    for process in processes:
        process.join()
    assert found == {pixels(archive, cache.with_name("other"))}
    assert len(list(cache.iterdir())) == 2


def die_in_the_middle(archive: Path, folder: Path, is_half: Event) -> None:
    def write_half(tensors: object, path: Path, metadata: object) -> None:
        path.write_bytes(b"half of it")
        is_half.set()
        time.sleep(60)

    tensor_files.save_file = write_half
    load_source(archive, folder)


def test_a_build_that_is_killed_half_way_harms_no_other_and_its_part_goes(archive: Path, cache: Path) -> None:
    is_half, answers = FORK.Event(), FORK.Queue()
    killed = start(archive, cache, is_half, target=die_in_the_middle)
    assert is_half.wait(30)
    beside = start(archive, cache, 1, answers)
    expected = pixels(archive, cache.with_name("other"))
    assert answers.get(timeout=30) == expected
    beside.join()
    assert len(list(cache.glob(".*.tmp"))) == 1, "it is alive, and may still finish"
    assert killed.pid is not None
    os.kill(killed.pid, signal.SIGKILL)
    killed.join()
    assert pixels(archive, cache) == expected
    assert not list(cache.glob(".*.tmp"))


def test_builds_that_are_killed_at_any_moment_leave_nothing_wrong(archive: Path, cache: Path) -> None:
    expected = pixels(archive, cache.with_name("other"))
    rng, answers = np.random.default_rng(0), FORK.Queue()
    for _ in range(20):
        clear_cache()
        process = start(archive, cache, 1, answers)
        time.sleep(float(rng.uniform(0, 0.04)))
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert pixels(archive, cache) == expected
        assert not list(cache.glob(".*.tmp"))


def test_a_damaged_file_is_made_anew(archive: Path, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    expected, rng = pixels(archive, cache), np.random.default_rng(0)
    (path,) = cache.glob("*.safetensors")
    for _ in range(30):
        caplog.clear()
        whole = path.read_bytes()
        path.write_bytes(changed := mutated(whole, rng))
        assert pixels(archive, cache) == expected
        assert len(caplog.records) == (changed != whole)
        if changed != whole:
            assert str(path) in caplog.text


def test_a_cache_that_is_cleared_all_the_time_costs_time_alone(archive: Path, cache: Path) -> None:
    expected, answers = pixels(archive, cache.with_name("other")), FORK.Queue()
    processes = [start(archive, cache, 15, answers) for _ in range(2)]
    found = set()
    for _ in range(30):
        clear_cache()
        found.add(answers.get(timeout=30))
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert found == {expected}
