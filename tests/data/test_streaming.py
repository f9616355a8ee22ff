from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from data.image_files import encoded, random_png, write_folder, write_tgz
from nnkit.data import streaming
from nnkit.data.bucketing import plan_batches
from nnkit.data.loaders import EvalLoader, TrainLoader
from nnkit.data.resize_policy import with_policy
from nnkit.data.workers import start_worker
from nnkit.datasets.image_folder import ImageFolder
from nnkit.errors import DataError, UsageError
from nnkit.types import EXACT_SIZES, Batch, Bucketing, Data, DataPlace

CPU = torch.device("cpu")


def pets(count: int = 20, *, colour: bool = False) -> dict[str, bytes]:
    return {
        f"{kind}/{number:02}.png": random_png(number, 8 + number % 5, 9 + number % 3, colour=colour)
        for kind in ("cat", "dog")
        for number in range(count)
    }


@pytest.fixture
def place(tmp_path: Path) -> DataPlace:
    return DataPlace(tmp_path, tmp_path / "cache")


def loaded(place: DataPlace, *, bucketing: Bucketing = EXACT_SIZES, **settings: object) -> Data:
    return with_policy(ImageFolder(path=place.root / "pets", **settings).load(place), bucketing)[0]  # type: ignore[arg-type]


def batches_of(
    data: Data, name: str, *, shuffle: bool, bucketing: Bucketing = EXACT_SIZES
) -> Iterator[Batch]:
    if not shuffle:
        return iter(EvalLoader(data, data.splits[name], batch_size=7, device=CPU, bucketing=bucketing))
    batches = TrainLoader(data, data.splits[name], batch_size=7, device=CPU, bucketing=bucketing)
    return batches.load(batches.plan(epoch=2, seed=1))


def assert_same(one: Batch, other: Batch) -> None:
    assert torch.equal(one.inputs, other.inputs)
    assert torch.equal(one.targets, other.targets)
    assert np.array_equal(one.indices, other.indices)
    assert one.original_size == other.original_size
    assert (one.mask is None) == (other.mask is None)
    assert one.mask is None or torch.equal(one.mask, other.mask)


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize(
    "settings",
    [
        {"bucketing": Bucketing(max_buckets=3)},
        {"bucketing": Bucketing(tolerance=0.2, leftovers="merge", pad_to="batch")},
        {"bucketing": Bucketing("resize", max_buckets=3)},
        {"bucketing": Bucketing("resize", (11, 11))},
        {"bucketing": Bucketing("pad", (15, 14))},
        {"bucketing": Bucketing("letterbox", (11, 14))},
        {"channels": 3},
    ],
)
def test_batches_are_those_of_images_in_memory_to_the_bit(
    place: DataPlace, settings: dict[str, Any], num_workers: int
) -> None:
    bucketing = settings.get("bucketing", EXACT_SIZES)
    write_folder(place.root / "pets", pets() | {"cat/grey.png": encoded(np.full((9, 9, 3), 50, np.uint8))})
    held = loaded(place, **settings)
    read = loaded(place, in_memory=False, num_workers=num_workers, **settings)
    assert (held.mean, held.std, held.in_channels) == (read.mean, read.std, read.in_channels)
    assert held.image_size == read.image_size
    torch.manual_seed(3)
    before = torch.get_rng_state()
    for name, shuffle in (("train", True), ("val", False)):
        for one, other in zip(
            batches_of(held, name, shuffle=shuffle, bucketing=bucketing),
            batches_of(read, name, shuffle=shuffle, bucketing=bucketing),
            strict=True,
        ):
            assert_same(one, other)
    assert torch.equal(torch.get_rng_state(), before), (
        "reading draws from the generator that dropout draws from"
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_read_from_files_is_the_one_of_images_in_memory(place: DataPlace, channels: int) -> None:
    write_folder(place.root / "pets", pets(6, colour=channels == 3))
    held, read = (loaded(place, in_memory=kept).splits["train"].images for kept in (True, False))
    assert (len(held), held.channels, held.image_size) == (len(read), read.channels, None)
    for one, other in ((held, read), (held.resized(held.sizes + 3), read.resized(held.sizes + 3))):
        assert np.array_equal(one.sizes, other.sizes)
        assert np.array_equal(one.original_sizes, other.original_sizes)
        same_size = np.flatnonzero((one.sizes == one.sizes[4]).all(axis=1))
        for indices in (np.arange(12)[::-1], same_size, np.array([7]), np.arange(0)):
            for size in (None, (16, 15), (15, 20)) if len(indices) else ((16, 15),):
                (pixels, mask), (expected, there) = other.fetch(indices, size), one.fetch(indices, size)
                assert torch.equal(pixels, expected)
                assert mask is there is None or torch.equal(mask, there)  # type: ignore[arg-type]
        assert all(torch.equal(one.image(index), other.image(index)) for index in range(12))
        for size in ((30, 8), (8, 30)):
            with pytest.raises(ValueError, match="do not fit"):
                other.fetch(np.arange(12), size)


def test_one_size_and_a_device_are_kept(place: DataPlace) -> None:
    write_folder(place.root / "pets", pets())
    images = loaded(place, in_memory=False, num_workers=1).splits["train"].images
    there = images.resized(np.full_like(images.sizes, 9)).to("meta")
    assert there.image_size == (9, 9)
    assert np.array_equal(there.original_sizes, images.sizes)
    assert (there.device, images.device) == (torch.device("meta"), CPU)
    again = there.resized(images.sizes + 1)
    assert (again.device, again.num_workers, again.in_memory) == (there.device, 1, False)  # type: ignore[attr-defined]
    pixels, mask = again.fetch(np.arange(9), (20, 20))
    assert mask is not None
    assert {pixels.device, mask.device, again.image(0).device} == {there.device}


def test_mean_and_std_are_those_of_this_split_and_these_shapes_whatever_the_cache_holds(
    place: DataPlace,
) -> None:
    write_folder(place.root / "pets", pets())  # once: else the files' times tell the settings apart
    seen = set()
    for settings in (
        {},
        {"seed": 1},
        {"val_fraction": 0.3},
        {"bucketing": Bucketing("resize", (6, 6))},
        {"bucketing": Bucketing("resize", (7, 7))},
        {"bucketing": Bucketing("resize", (14, 14))},
        {"bucketing": Bucketing("pad", (14, 14))},
        {"channels": 3},
        {"bucketing": Bucketing("resize", max_buckets=2)},
    ):
        held = loaded(place, **settings)
        for _ in range(2):
            read = loaded(place, in_memory=False, **settings)
            assert (read.mean, read.std) == (held.mean, held.std)
        seen.add(held.mean)
    assert len(seen) == 9
    changed = random_png(99, 8, 9)
    (place.root / "pets" / "cat" / "00.png").write_bytes(changed)
    os.utime(place.root / "pets" / "cat" / "00.png", (1e9, 1e9))
    held, read = loaded(place), loaded(place, in_memory=False)
    assert (read.mean, read.std) == (held.mean, held.std)
    assert held.mean not in seen


@pytest.mark.parametrize("colour", [False, True])
def test_channels_are_told_as_for_images_in_memory(place: DataPlace, colour: bool) -> None:
    write_folder(place.root / "pets", pets(colour=colour))
    for channels in (None, 1, 3):
        held, read = loaded(place, channels=channels), loaded(place, channels=channels, in_memory=False)
        assert held.in_channels == read.in_channels
        assert torch.equal(held.splits["train"].images.image(0), read.splits["train"].images.image(0))


def test_sizes_come_from_headers_and_are_remembered(
    place: DataPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(place.root / "pets", pets())
    first = loaded(place, in_memory=False)

    def refuse(*_: object) -> None:
        raise AssertionError("a file is opened though nothing has changed")

    monkeypatch.setattr("nnkit.data.sources.read_header", refuse)
    monkeypatch.setattr("nnkit.data.streaming.decode", refuse)
    again = loaded(place, in_memory=False)
    assert np.array_equal(first.splits["train"].sizes, again.splits["train"].sizes)
    assert (first.mean, first.std) == (again.mean, again.std)


def test_what_a_header_shows_to_be_no_image_is_left_out(
    place: DataPlace, caplog: pytest.LogCaptureFixture
) -> None:
    bad = {"cat/empty.png": b"", "dog/page.png": b"<html>"}
    write_folder(place.root / "pets", pets() | bad)
    data = loaded(place, in_memory=False)
    assert sum(len(split) for split in data.splits.values()) == 40
    assert all(any(name in note for note in data.notes) for name in bad)
    assert len(caplog.records) == 1


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize(
    ("now", "said"),
    [(b"<html>", "no image"), (random_png(0, 30, 30), "has changed"), (None, "cannot read")],
)
def test_a_file_that_goes_bad_is_named(
    place: DataPlace, now: bytes | None, said: str, num_workers: int
) -> None:
    write_folder(place.root / "pets", pets())
    data = loaded(place, in_memory=False, num_workers=num_workers)
    images = data.splits["train"].images
    path = place.root / "pets" / images.files.names[int(data.splits["train"].indices[5])]  # type: ignore[attr-defined]
    if now is None:
        os.remove(path)
    else:
        path.write_bytes(now)
    with pytest.raises(DataError) as caught:
        list(batches_of(data, "train", shuffle=True))
    assert said in caught.value.message
    assert str(path) in caught.value.message
    assert "\n" not in caught.value.message


def test_a_damaged_training_image_is_an_error_when_the_data_is_loaded(place: DataPlace) -> None:
    cut = random_png(0, 40, 40)[:300]
    write_folder(place.root / "pets", pets() | {f"dog/cut{number}.png": cut for number in range(9)})
    with pytest.raises(DataError, match=r"dog/cut\d\.png") as caught:
        loaded(place, in_memory=False)
    assert "in_memory=true" in caught.value.hint
    assert sum(len(split) for split in loaded(place).splits.values()) == 40


def test_an_archive_must_be_unpacked_first(place: DataPlace) -> None:
    path = write_tgz(place.root / "pets.tgz", pets())
    with pytest.raises(UsageError, match="archive") as caught:
        ImageFolder(path=path, in_memory=False).load(place)
    assert "unpack" in caught.value.hint


@pytest.mark.parametrize(
    "settings",
    [
        {"num_workers": 1},
        {"in_memory": False, "num_workers": -1},
        {"in_memory": False, "num_workers": 10**6},
    ],
)
def test_settings_that_do_not_go_together_are_refused_when_the_dataset_is_made(
    settings: dict[str, object],
) -> None:
    with pytest.raises(UsageError, match="num_workers"):
        ImageFolder(path=Path("x"), **settings)  # type: ignore[arg-type]


def test_all_that_crosses_to_a_worker_pickles(place: DataPlace) -> None:
    write_folder(place.root / "pets", pets())
    images = loaded(place, in_memory=False, num_workers=2).splits["train"].images
    parts = (images.files, start_worker, streaming.pad_collate)  # type: ignore[attr-defined]
    files, _, collate = pickle.loads(pickle.dumps(parts))
    there, here = collate([files[index] for index in (3, 0, 5)]), images.fetch(np.array([3, 0, 5]))
    assert all(torch.equal(one, other) for one, other in zip(there, here, strict=True))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_any_data_loader_takes_the_files_with_a_plan_as_its_batch_sampler(
    place: DataPlace, num_workers: int
) -> None:
    write_folder(place.root / "pets", pets())
    images = loaded(place, in_memory=False).splits["train"].images
    plan = plan_batches(images.sizes, batch_size=7, max_buckets=2)
    loader = DataLoader(
        images.files,  # type: ignore[attr-defined]
        batch_sampler=[batch.indices.tolist() for batch in plan],
        collate_fn=streaming.pad_collate,
        num_workers=num_workers,
    )
    for (pixels, mask), batch in zip(loader, plan, strict=True):
        expected, there = images.fetch(batch.indices)
        assert torch.equal(pixels, expected)
        assert mask is there is None or torch.equal(mask, there)


KEEPS_THE_ERROR = """
import sys
from pathlib import Path
from typing import Any
from nnkit.data.streaming import FileImages, ImageFiles
from nnkit.errors import DataError
import numpy as np

names, sizes = ("a.png", "b.png"), np.array([[8, 8], [8, 8]])
images = FileImages(ImageFiles(Path(sys.argv[1]), names, sizes, sizes, 1), num_workers=2)
try:
    list(images.batches([(np.array([0]), None), (np.array([1]), None)]))
except DataError as error:
    sys.last_value = error  # as an interactive session keeps it, with every frame behind it
    print(error.message)
"""


def test_a_process_that_keeps_the_error_ends_at_once(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a.png": random_png(0, 8, 8), "b.png": b"<html>"})
    command = [sys.executable, "-c", KEEPS_THE_ERROR, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "b.png" in ran.stdout
