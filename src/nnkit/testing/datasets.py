"""Checks for datasets: splits as declared, the same at each load, and an error for missing data."""

from __future__ import annotations

import hashlib
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

import numpy as np
import torch

from nnkit.build import components, plan
from nnkit.data.loaders import EvalLoader
from nnkit.errors import DataError
from nnkit.testing.subject import Skipped, Subject, assert_finite
from nnkit.testing.worker import call_in_worker
from nnkit.types import SPLITS, Data, DataPlace, Dataset, Split

TASKS = ("classification", "transform")
NUM_HASHED = 64
"""Images per split whose pixels are compared: enough to tell two loads apart, cheap for a large dataset."""

MAX_SHARED = 0.05
"""Photographs come in pairs that are equal by chance or neglect; a leak is more than a few."""


def says_its_task_and_default_model(subject: Subject) -> None:
    """`task` is one of the two, `default_model` names a model that is installed."""
    dataset = _made(subject)
    assert dataset.task in TASKS, f"its task is {dataset.task!r}, not one of {', '.join(TASKS)}"
    name = dataset.default_model.partition(":")[0]
    known = components("models")
    assert name.rpartition("/")[2] in known, f'its default_model "{name}" is none of {", ".join(known)}'


def loads_what_it_declares(subject: Subject) -> None:
    """Splits, targets, channels, sizes, class names and statistics fit each other and its default model."""
    with _place(subject) as place:
        dataset = _made(subject)
        data = _loaded(subject, dataset, place)
    assert data.task == dataset.task, f"it loads the task {data.task!r}, but says {dataset.task!r}"
    assert set(data.splits) == set(SPLITS), f"its splits are {sorted(data.splits)}, not {', '.join(SPLITS)}"
    for name, split in data.splits.items():
        _check_split(name, split, data)
    _check_disjoint(data)
    _check_statistics(data)
    plan("models", dataset.default_model, known=data.known_settings())
    _check_batch(data)


def loads_the_same_twice(subject: Subject) -> None:
    """Two objects of the same settings load the same indices, targets and pixels."""
    with _place(subject) as place:
        first, second = (_digest(_loaded(subject, _made(subject), place)) for _ in range(2))
    assert first == second, "two loads differ: draw splits and pixels from a seed that is a setting"


def says_when_its_files_are_missing(subject: Subject) -> None:
    """With an empty data root and no download it is a `DataError` with a hint, no socket, nothing written."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(socket.socket, "connect", _no_socket):
        root = Path(folder) / "root"
        root.mkdir()
        try:
            _made(subject).load(DataPlace(root=root, cache=Path(folder) / "cache"))
        except DataError as error:
            if not error.hint:
                raise AssertionError(f"the error has no hint what to do: {error.message}") from error
        left = sorted(path.name for path in root.iterdir())
        assert not left, f"it writes into the data root without --download: {', '.join(left)}"


def survives_spawn(subject: Subject) -> None:
    """It pickles to a worker process."""
    dataset = _made(subject)
    assert call_in_worker(_task_of, dataset) == dataset.task


def _task_of(dataset: Dataset) -> str:
    return dataset.task


def _no_socket(*_: Any) -> NoReturn:
    raise AssertionError("it opens a socket without --download")


def _made(subject: Subject) -> Dataset:
    dataset = subject.make()
    assert isinstance(dataset, Dataset), (
        f"{type(dataset).__name__} lacks one of task, default_model and load(place)"
    )
    return dataset


@contextmanager
def _place(subject: Subject) -> Iterator[DataPlace]:
    """Where to load from: a folder of made files, else the place given, else an empty one."""
    with tempfile.TemporaryDirectory() as folder:
        empty = DataPlace(root=Path(folder) / "root", cache=Path(folder) / "cache")
        if subject.make_files is not None:
            empty.root.mkdir()
            subject.make_files(empty.root)
            yield empty
        else:
            yield subject.place or empty


def _loaded(subject: Subject, dataset: Dataset, place: DataPlace) -> Data:
    try:
        data = dataset.load(place)
    except DataError as error:
        if subject.make_files is not None:
            raise
        raise Skipped(f"its data is not here: {error.message}") from error
    assert isinstance(data, Data), f"load gives a {type(data).__name__}, not nnkit.types.Data"
    return data


def _check_split(name: str, split: Split, data: Data) -> None:
    assert len(split), f"the split {name} is empty"
    images, targets, indices = split.images, split.targets, split.indices
    assert len(targets) == len(images), f"{name}: {len(targets)} targets for {len(images)} images"
    assert indices.min() >= 0, f"{name}: an index is negative"
    assert indices.max() < len(images), f"{name}: the index {indices.max()} of {len(images)} images"
    assert len(np.unique(indices)) == len(indices), f"{name}: an image is in it twice"
    assert images.channels == data.in_channels, f"{name}: {images.channels} channels, not {data.in_channels}"
    sizes = {(int(height), int(width)) for height, width in np.unique(split.sizes, axis=0)}
    if data.image_size is not None:
        assert sizes == {tuple(data.image_size)}, (
            f"{name}: sizes {sizes}, but image_size is {data.image_size}"
        )
    chosen = targets[torch.from_numpy(indices)]
    if data.task == "classification":
        assert targets.dtype == torch.int64, f"{name}: targets are {targets.dtype}, not int64 class indices"
        low, high = int(chosen.min()), int(chosen.max())
        assert low >= 0, f"{name}: the class index {low} is negative"
        assert high < len(data.class_names), (
            f"{name}: class index {high}, {len(data.class_names)} class names"
        )
    else:
        assert data.target_size is not None, "a transform says its target_size"
        shape = (data.target_channels, *data.target_size)
        assert tuple(targets.shape[1:]) == shape, (
            f"{name}: targets of {tuple(targets.shape[1:])}, not {shape}"
        )
        assert_finite(chosen, f"{name}: targets")
        assert chosen.min() >= 0, f"{name}: a target is below 0"
        assert chosen.max() <= 1, f"{name}: a target is above 1"


def _check_disjoint(data: Data) -> None:
    """No image is in two splits: by position in one source, by its pixels where splits have their own."""
    for (one, first), (other, second) in combinations(data.splits.items(), 2):
        if first.images is second.images:
            shared = len(np.intersect1d(first.indices, second.indices))
            assert not shared, f"{shared} images are in both {one} and {other}"
            continue
        a, b = _image_digests(first), _image_digests(second)
        shared, fewest = len(a & b), min(len(a), len(b))
        assert shared < 2 or shared <= MAX_SHARED * fewest, (
            f"{shared} of {fewest} images are in both {one} and {other}, by their pixels"
        )


def _image_digests(split: Split) -> set[bytes]:
    """A hash of each image; of those in files, of some."""
    some = split if split.images.in_memory else split.sample(NUM_HASHED)
    images = (split.images.image(int(index)).contiguous().numpy() for index in some.indices)
    return {hashlib.sha256(repr(image.shape).encode() + image.tobytes()).digest() for image in images}


def _check_statistics(data: Data) -> None:
    if not data.mean and not data.std:
        return
    assert len(data.mean) == len(data.std) == data.in_channels, "mean and std have one value per channel"
    assert all(0 <= mean <= 1 for mean in data.mean), f"mean {data.mean} is not of inputs in [0, 1]"
    assert all(0 < std < float("inf") for std in data.std), f"std {data.std} is not above 0"


def _check_batch(data: Data) -> None:
    split = data.splits["train"].sample(8)
    for batch in EvalLoader(data, split, batch_size=4, device=torch.device("cpu")):
        assert_finite(batch.inputs, "a batch")


def _digest(data: Data) -> str:
    digest = hashlib.sha256(repr((data.task, data.class_names, data.mean, data.std)).encode())
    for name in SPLITS:
        split = data.splits[name]
        digest.update(np.ascontiguousarray(split.indices).tobytes())
        head = split.indices[:NUM_HASHED]
        digest.update(split.targets[torch.from_numpy(head)].numpy().tobytes())
        for index in head:
            digest.update(split.images.image(int(index)).contiguous().numpy().tobytes())
    return digest.hexdigest()
