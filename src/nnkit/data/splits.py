"""Splits drawn by a seed, and class names, mean and standard deviation of a classification dataset."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nnkit.data.folder_layout import SPLIT_FOLDERS, FolderLayout, left_out
from nnkit.data.images import Indices, Request
from nnkit.data.resolutions import ranges_of
from nnkit.errors import DataError, UsageError, quote
from nnkit.types import SPLITS, Data, ImageStore, Split

CHUNK, CHUNK_BYTES = 2048, 32 << 20
"""Images, and their bytes, counted at once for the statistics: bounds the memory."""

SHOWN = 10
"""Names of classes that a sentence holds."""

LEVELS = 256
TEST_FRACTION = 0.1


def check_labels(data: Data, name: str) -> None:
    """`DataError` for a label that is none of the classes: names the image by its split and position.

    Training would end in an index error, or on a GPU in one that the device never recovers from.
    """
    if data.task != "classification":
        return
    for split_name, split in data.splits.items():
        labels = split.targets[torch.from_numpy(split.indices)]
        wrong = ((labels < 0) | (labels >= len(data.class_names))).nonzero()
        if len(wrong):
            at = int(wrong[0])
            raise DataError(
                f'the dataset "{name}" labels image {at} of its {split_name} split as {int(labels[at])}: its '
                f"{len(data.class_names)} classes are 0 to {len(data.class_names) - 1}",
                hint="mend the dataset; `nnkit check-plugin` finds such faults in a plugin's",
            )


def class_counts(data: Data) -> dict[str, dict[str, int]]:
    """How many images of each class each split has, by name; empty for a transform."""
    if data.task != "classification":
        return {}
    counts = {
        name: torch.bincount(
            split.targets.cpu()[torch.from_numpy(split.indices)], minlength=len(data.class_names)
        )
        for name, split in data.splits.items()
    }
    return {name: dict(zip(data.class_names, found.tolist(), strict=True)) for name, found in counts.items()}


def classes_without_images(data: Data, splits: Iterable[str] = SPLITS) -> str:
    """A sentence that names the classes of which a split has no image; empty where there are none.

    A split without any image is left out.
    """
    parts = []
    for name, counts in class_counts(data).items():
        missing = [kind for kind, count in counts.items() if not count]
        if name in splits and 0 < len(missing) < len(counts):
            more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
            parts.append(f"{name} has none of {', '.join(missing[:SHOWN])}{more}")
    return f"classes without images: {'; '.join(parts)}" if parts else ""


def limited(data: Data, limit: int | None) -> Data:
    """At most `limit` images of each split; their metrics are reported by the resolutions of all of them."""
    data = replace(data, resolutions=ranges_of(data))
    if limit is None:
        return data
    return replace(data, splits={name: split.sample(limit) for name, split in data.splits.items()})


def check_seed(seed: int) -> int:
    """The seed; `UsageError` for a negative one."""
    if seed < 0:
        raise UsageError(f"seed is {seed}, it must not be negative", hint="write seed=0 or more")
    return seed


def check_fraction(val_fraction: float) -> float:
    """The share of training images that validate; `UsageError` outside 0 … 1."""
    if not 0 < val_fraction < 1:
        raise UsageError(
            f"val_fraction is {quote(val_fraction)}, it must lie between 0 and 1",
            hint="write val_fraction=0.1",
        )
    return val_fraction


def random_parts(
    indices: Indices, fraction: float, seed: int, labels: Indices | None = None
) -> tuple[Indices, Indices]:
    """Two disjoint parts of `indices`, each in rising order; the second has the share `fraction`, rounded.

    Each part has at least one; `DataError` where there are not two to share. With `labels`, the class of each
    of the indices, the share is that of every class, and a class of two or more is in both parts.
    """
    if len(indices) < 2:
        raise DataError(f"{len(indices)} images cannot be split in two", hint="add images")
    count = min(max(round(len(indices) * fraction), 1), len(indices) - 1)
    order = np.random.default_rng(seed).permutation(len(indices))
    chosen = order[:count] if labels is None else _of_each_class(order, labels, fraction, count)
    is_second = np.zeros(len(indices), bool)
    is_second[chosen if len(chosen) else order[:count]] = True
    return np.sort(indices[~is_second]), np.sort(indices[is_second])


def _of_each_class(order: Indices, labels: Indices, fraction: float, count: int) -> Indices:
    """The first places of each class in `order`: its share, and `count` in all where that can be.

    A class of two or more gives at least one, and keeps at least one.
    """
    _, class_of, num = np.unique(labels, return_inverse=True, return_counts=True)
    share, most = num * fraction, num - 1
    wanted = np.clip(np.floor(share).astype(np.int64), np.minimum(1, most), most)
    for at in np.argsort(wanted - share, kind="stable"):  # the largest remainders first
        if wanted.sum() >= count:
            break
        wanted[at] += wanted[at] < most[at]
    by_class = order[np.argsort(class_of[order], kind="stable")]
    turn = np.arange(len(order)) - np.repeat(np.cumsum(num) - num, num)
    chosen: Indices = by_class[turn < np.repeat(wanted, num)]
    return chosen


def class_parts(layout: FolderLayout, labels: Indices, val_fraction: float, seed: int) -> dict[str, Indices]:
    """The splits of the folders, or drawn by `seed`: indices of the files that have a class.

    With folders for splits, `val_fraction` of the training images validate where none is for it, and without
    one for testing there are no test images. Else 10 % test and `val_fraction` validate, of each class.
    """
    kept = np.array([at for at, name in enumerate(layout.classes) if name], np.int64)
    if layout.splits is None:
        rest, test = random_parts(kept, TEST_FRACTION, seed, labels[kept])
        train, val = random_parts(rest, val_fraction / (1 - TEST_FRACTION), seed, labels[rest])
        return {"train": train, "val": val, "test": test}
    split_of = np.array(layout.splits)[kept]
    parts = {name: kept[split_of == name] for name in SPLITS}
    if len(parts["train"]) == 0:
        raise DataError("the folder train/ holds no image in a class folder", hint="put images there")
    if len(parts["val"]) == 0:
        train = parts["train"]
        parts["train"], parts["val"] = random_parts(train, val_fraction, seed, labels[train])
    return parts


def folder_parts(
    names: Sequence[str], val_fraction: float, seed: int
) -> tuple[dict[str, Indices], tuple[str, ...]]:
    """The splits of the folders in `names`, or drawn by `seed`; and notes on what was left out.

    Where there are images under `train/` and under `val/` (or `valid/`, `validation/`) or `test/`, at any
    depth, these are the splits; without a folder to validate, `val_fraction` of the training images do, and
    without one to test, 10 % of them do. Else 10 % of all images test and `val_fraction` validate.
    """
    folders = np.array([split_folder(name)[0] for name in names])
    parts = {name: np.flatnonzero(folders == name) for name in SPLITS}
    if not (len(parts["train"]) and (len(parts["val"]) or len(parts["test"]))):
        rest, test = random_parts(np.arange(len(names)), TEST_FRACTION, seed)
        train, val = random_parts(rest, val_fraction / (1 - TEST_FRACTION), seed)
        return {"train": train, "val": val, "test": test}, ()
    outside = [name for name, folder in zip(names, folders, strict=True) if not folder]
    notes = left_out(outside, "outside train/, val/ and test/")
    if len(parts["val"]) == 0:
        parts["train"], parts["val"] = random_parts(parts["train"], val_fraction, seed)
    if len(parts["test"]) == 0:
        parts["train"], parts["test"] = random_parts(parts["train"], TEST_FRACTION, seed)
        notes = (*notes, "there is no folder test/: 10 % of the images in train/ test")
    return parts, notes


def split_folder(name: str) -> tuple[str, tuple[str, ...]]:
    """The split that a file's first folder named after one says (else ""), and the folders below it."""
    folders = name.split("/")[:-1]
    for depth, folder in enumerate(folders):
        if folder in SPLIT_FOLDERS:
            return SPLIT_FOLDERS[folder], tuple(folders[depth + 1 :])
    return "", tuple(folders)


def balanced(num_values: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`count` numbers from 0 to `num_values` - 1 in random order, each as often as any other or once more."""
    return rng.permutation(np.arange(count, dtype=np.int64) % num_values)


def classification_data(
    images: ImageStore,
    labels: Tensor,
    parts: Mapping[str, Indices],
    class_names: Sequence[str],
    notes: Sequence[str] = (),
) -> Data:
    """A classification dataset of one source: `labels` int64 (N,), `parts` the indices of each split.

    Mean and standard deviation are those of the training images' pixels.
    """
    splits = {name: Split(images, labels, np.ascontiguousarray(part)) for name, part in parts.items()}
    data = Data(
        task="classification",
        splits=splits,
        in_channels=images.channels,
        image_size=images.image_size,
        class_names=tuple(class_names),
        notes=tuple(notes),
        measured=True,
    )
    return measured(data)


def measured(data: Data) -> Data:
    """The data with the mean and standard deviation of its training images' pixels, per channel."""
    split = data.splits["train"]
    mean, std = level_statistics(
        split.images.remembered("levels", split.indices, lambda: count_levels(split))
    )
    return replace(data, mean=mean, std=std)


def count_levels(split: Split) -> Tensor:
    """How many pixels of each channel have each 8-bit value: int64 (C, 256), on the CPU."""
    counts = torch.zeros((split.images.channels, LEVELS), dtype=torch.int64)
    for chunk, _ in split.images.batches(_chunks(split)):
        for channel in range(split.images.channels):
            # bincount takes one stretch of memory; a batch's channel is one only where it is the only one.
            counts[channel] += torch.bincount(chunk[:, channel].reshape(-1), minlength=LEVELS).cpu()
    return counts


def level_statistics(counts: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel, of values in [0, 1], from the counts of 8-bit values.

    Exact: the counts are integers. A channel of one value gets the
    standard deviation 1, since it divides.
    """
    moments = [_moments(row) for row in counts.tolist()]
    return tuple(mean for mean, _ in moments), tuple(std for _, std in moments)


def _moments(counts: Sequence[int]) -> tuple[float, float]:
    num = sum(counts)
    if num == 0:
        return 0.0, 1.0
    total = sum(level * count for level, count in enumerate(counts))
    squares = sum(level * level * count for level, count in enumerate(counts))
    std = math.sqrt(num * squares - total * total) / num
    return total / num / (LEVELS - 1), std / (LEVELS - 1) or 1.0


def _chunks(split: Split) -> Iterator[Request]:
    """The images of a split, some of one size at a time, in no promised order."""
    sizes, size_of, counts = np.unique(split.sizes, axis=0, return_inverse=True, return_counts=True)
    by_size = split.indices[np.argsort(size_of.reshape(-1), kind="stable")]
    for size, indices in zip(sizes, np.split(by_size, np.cumsum(counts)[:-1]), strict=bool(len(sizes))):
        num_bytes = split.images.channels * int(size.prod())
        step = min(CHUNK, max(1, CHUNK_BYTES // num_bytes))
        for start in range(0, len(indices), step):
            yield indices[start : start + step], None
