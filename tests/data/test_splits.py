from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from nnkit.data.folder_layout import FolderLayout, read_layout
from nnkit.data.images import Images
from nnkit.data.splits import (
    balanced,
    check_fraction,
    check_labels,
    check_seed,
    class_parts,
    classification_data,
    count_levels,
    folder_parts,
    level_statistics,
    random_parts,
    split_folder,
)
from nnkit.errors import DataError, UsageError
from nnkit.types import Split


@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_a_seed_is_a_number_from_zero_on(seed: int) -> None:
    assert check_seed(seed) == seed


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(UsageError, match="seed is -1"):
        check_seed(-1)


@pytest.mark.parametrize("fraction", [1e-9, 0.1, 1 - 1e-9])
def test_a_share_lies_between_zero_and_one(fraction: float) -> None:
    assert check_fraction(fraction) == fraction


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.1, float("nan")])
def test_a_share_of_nothing_or_all_is_refused(fraction: float) -> None:
    with pytest.raises(UsageError, match="val_fraction"):
        check_fraction(fraction)


@given(
    indices=st.lists(st.integers(0, 10**6), min_size=2, max_size=60, unique=True),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32),
)
def test_random_parts_share_the_indices_in_rising_order(
    indices: list[int], fraction: float, seed: int
) -> None:
    first, second = random_parts(np.array(indices), fraction, seed)
    assert sorted([*first.tolist(), *second.tolist()]) == sorted(indices)
    assert first.tolist() == sorted(first.tolist())
    assert second.tolist() == sorted(second.tolist())
    assert len(second) == min(max(round(fraction * len(indices)), 1), len(indices) - 1)
    again = random_parts(np.array(indices), fraction, seed)
    assert np.array_equal(first, again[0])
    assert np.array_equal(second, again[1])


def test_each_pair_is_as_likely_to_be_drawn_as_any_other() -> None:
    pairs = [tuple(random_parts(np.arange(10, 16), 1 / 3, seed)[1].tolist()) for seed in range(1500)]
    counts = [pairs.count(pair) for pair in sorted(set(pairs))]
    assert len(counts) == 15
    assert stats.chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_images_cannot_be_shared(count: int) -> None:
    with pytest.raises(DataError, match=f"{count} images"):
        random_parts(np.arange(count), 0.5, 0)


def test_two_images_are_shared_whatever_the_fraction() -> None:
    for fraction in (0.01, 0.99):
        first, second = random_parts(np.arange(2), fraction, 0)
        assert len(first) == len(second) == 1


@pytest.mark.parametrize(
    ("name", "split", "below"),
    [
        ("train/cat/1.png", "train", ("cat",)),
        ("test/1.png", "test", ()),
        ("outer/set/val/dog/small/1.png", "val", ("dog", "small")),
        ("train/test/1.png", "train", ("test",)),
        ("x/valid/1.png", "val", ()),
        ("validation/cat/1.png", "val", ("cat",)),
        ("cat/1.png", "", ("cat",)),
        ("cat/train", "", ("cat",)),
        ("train.png", "", ()),
        ("training/1.png", "", ("training",)),
    ],
)
def test_the_first_folder_named_after_a_split_tells_it(name: str, split: str, below: tuple[str, ...]) -> None:
    assert split_folder(name) == (split, below)


def test_train_val_and_test_folders_are_the_splits() -> None:
    names = ["x/test/a/1", "train/a/1", "val/a/1", "loose", "train/b/1", "b/2", "test/b/1", "val/b/1"]
    parts, notes = folder_parts(names, 0.5, 0)
    assert {name: part.tolist() for name, part in parts.items()} == {
        "train": [1, 4],
        "val": [2, 7],
        "test": [0, 6],
    }
    assert len(notes) == 1
    assert notes[0].startswith("2 images ")


def test_without_val_a_share_of_the_training_images_validates() -> None:
    names = [f"train/a/{number}" for number in range(40)] + [f"test/a/{number}" for number in range(7)]
    parts, notes = folder_parts(names, 0.25, 3)
    assert notes == ()
    assert parts["test"].tolist() == list(range(40, 47))
    assert len(parts["val"]) == 10
    assert sorted([*parts["train"], *parts["val"]]) == list(range(40))
    others = [folder_parts(names, 0.25, seed)[0]["val"].tolist() for seed in (3, 4)]
    assert others[0] == parts["val"].tolist() != others[1]


@pytest.mark.parametrize("val", ["val", "valid", "validation"])
def test_without_test_a_tenth_of_the_training_images_tests_and_no_validation_image_trains(val: str) -> None:
    names = [f"train/a/{number}" for number in range(40)] + [f"{val}/a/{number}" for number in range(7)]
    parts, notes = folder_parts(names, 0.25, 3)
    assert parts["val"].tolist() == list(range(40, 47))
    assert len(parts["test"]) == 4
    assert sorted([*parts["train"], *parts["test"]]) == list(range(40))
    assert len(notes) == 1
    assert "no folder test/" in notes[0]


@pytest.mark.parametrize(
    ("val_fraction", "counts"), [(0.1, (160, 20, 20)), (0.45, (90, 90, 20)), (0.95, (1, 179, 20))]
)
def test_without_folders_the_seed_draws_a_tenth_for_testing(
    val_fraction: float, counts: tuple[int, int, int]
) -> None:
    names = [f"cat/{number}" for number in range(200)]
    parts, notes = folder_parts(names, val_fraction, 5)
    assert notes == ()
    assert tuple(len(parts[name]) for name in ("train", "val", "test")) == counts
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(200))
    again, other = (folder_parts(names, val_fraction, seed)[0] for seed in (5, 6))
    for name in ("train", "val", "test"):
        assert np.array_equal(parts[name], again[name])
        assert not np.array_equal(parts[name], other[name])


def test_a_class_called_test_is_no_split_where_there_is_no_train() -> None:
    names = [f"{kind}/{number}" for kind in ("cat", "test") for number in range(50)]
    parts, notes = folder_parts(names, 0.1, 0)
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(100))
    assert {name: len(part) for name, part in parts.items()} == {"train": 80, "val": 10, "test": 10}
    assert notes == ()


@given(num_values=st.integers(1, 12), count=st.integers(0, 60), seed=st.integers(0, 100))
def test_balanced_labels_are_each_as_frequent_as_any_other(num_values: int, count: int, seed: int) -> None:
    labels = balanced(num_values, count, np.random.default_rng(seed))
    assert labels.dtype == np.int64
    assert len(labels) == count
    counts = np.bincount(labels, minlength=num_values)
    assert len(counts) == num_values
    assert counts.max() - counts.min() <= 1
    assert np.array_equal(labels, balanced(num_values, count, np.random.default_rng(seed)))


def test_balanced_labels_stand_in_any_order_equally_likely() -> None:
    rng = np.random.default_rng(0)
    orders = [tuple(balanced(2, 4, rng).tolist()) for _ in range(900)]
    counts = [orders.count(order) for order in sorted(set(orders))]
    assert len(counts) == 6
    assert stats.chisquare(counts).pvalue > 0.001


def coloured(count: int, sizes: list[tuple[int, int]], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    tops = rng.integers(50, 256, (count, 3, 1, 1))
    return [
        (rng.random((3, *sizes[number % len(sizes)])) * tops[number]).astype(np.uint8)
        for number in range(count)
    ]


def test_mean_and_std_are_those_of_the_training_pixels_alone() -> None:
    arrays = coloured(30, [(5, 7), (8, 4), (6, 6)])
    parts = {"train": np.arange(0, 30, 2)[::-1], "val": np.array([1, 3]), "test": np.array([5])}
    data = classification_data(Images.from_arrays(arrays), torch.arange(30) % 2, parts, ["x", "y"], ["note"])
    pixels = np.concatenate([arrays[index].reshape(3, -1) for index in parts["train"]], axis=1) / 255
    np.testing.assert_allclose(data.mean, pixels.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(data.std, pixels.std(axis=1), rtol=1e-12)
    assert (data.task, data.in_channels, data.image_size) == ("classification", 3, None)
    assert (data.class_names, data.notes) == (("x", "y"), ("note",))
    assert data.measured
    for name, split in data.splits.items():
        assert split.indices.tolist() == parts[name].tolist()
        assert split.indices.flags.c_contiguous
        assert split.targets.tolist() == [index % 2 for index in range(30)]


@pytest.mark.parametrize("channels", [1, 3])
def test_levels_are_counted_in_every_image_of_the_split_and_in_no_other(channels: int) -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 256, (channels, 2, 1 + number % 2), dtype=np.uint8) for number in range(9000)]
    images = Images.from_arrays(arrays)
    indices = rng.permutation(9000)[:8500]
    counts = count_levels(Split(images, torch.zeros(9000), indices))
    assert counts.dtype == torch.int64
    for channel in range(channels):
        pixels = np.concatenate([arrays[index][channel].ravel() for index in indices])
        assert counts[channel].tolist() == np.bincount(pixels, minlength=256).tolist()


def test_levels_are_counted_from_a_bounded_number_of_bytes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    batches = Images.batches

    def watched(self: Images, requests: object) -> object:
        for batch in batches(self, requests):  # type: ignore[arg-type]
            taken.append(tuple(batch[0].shape))
            yield batch

    monkeypatch.setattr(Images, "batches", watched)
    side = 1500
    images = Images.from_tensor(torch.full((1, 3, 1, 1), 7, dtype=torch.uint8).expand(12, 3, side, side))
    counts = count_levels(Split(images, torch.zeros(12), np.arange(12)))
    assert counts[:, 7].tolist() == [12 * side * side] * 3
    assert taken == [(4, 3, side, side)] * 3  # 6.75 MB each, 32 MiB at most
    taken.clear()
    small = Images.from_tensor(torch.zeros(1, 1, 1, 1, dtype=torch.uint8).expand(5000, 1, 1, 1))
    count_levels(Split(small, torch.zeros(5000), np.arange(5000)))
    assert max(shape[0] for shape in taken) <= 2048


@settings(deadline=None)
@given(rows=st.lists(st.dictionaries(st.integers(0, 255), st.integers(1, 2**40), min_size=2), max_size=3))
def test_mean_and_std_follow_exactly_from_the_counts(rows: list[dict[int, int]]) -> None:
    counts = torch.zeros(len(rows), 256, dtype=torch.int64)
    for channel, row in enumerate(rows):
        for level, count in row.items():
            counts[channel, level] = count
    means, stds = level_statistics(counts)
    assert len(means) == len(stds) == len(rows)
    for row, mean, std in zip(rows, means, stds, strict=True):
        num = sum(row.values())
        exact = sum(Fraction(level, 255) * count for level, count in row.items()) / num
        square = sum((Fraction(level, 255) - exact) ** 2 * count for level, count in row.items()) / num
        assert mean == pytest.approx(float(exact), rel=1e-12)
        assert std == pytest.approx(float(square) ** 0.5, rel=1e-12)


def test_a_constant_channel_is_divided_by_one() -> None:
    counts = torch.zeros(3, 256, dtype=torch.int64)
    counts[0, 51], counts[1, 0], counts[2, 255] = 9, 5, 1
    assert level_statistics(counts) == ((0.2, 0.0, 1.0), (1.0, 1.0, 1.0))


def test_without_pixels_nothing_is_shifted_or_divided() -> None:
    assert level_statistics(torch.zeros(2, 256, dtype=torch.int64)) == ((0.0, 0.0), (1.0, 1.0))


@settings(deadline=None)
@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    fraction=st.floats(0.02, 0.98),
    seed=st.integers(0, 2**32),
)
def test_with_labels_the_share_is_that_of_each_class_and_no_small_class_vanishes(
    counts: list[int], fraction: float, seed: int
) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    if len(labels) < 2:
        return
    indices = np.arange(len(labels)) * 3
    first, second = random_parts(indices, fraction, seed, labels)
    assert sorted([*first.tolist(), *second.tolist()]) == indices.tolist()
    assert len(first) >= 1
    assert len(second) >= 1
    if max(counts) > 1:
        for kind, count in enumerate(counts):
            found = int((labels[second // 3] == kind).sum())
            assert min(1, count - 1) <= found <= max(count - 1, 0)
            assert abs(found - count * fraction) <= 1 or found in (1, count - 1, 0)
    again = random_parts(indices, fraction, seed, labels)
    assert np.array_equal(second, again[1])


def test_with_labels_another_seed_draws_other_images_and_the_count_is_kept() -> None:
    labels = np.repeat(np.arange(3), [100, 50, 6])
    parts = [random_parts(np.arange(156), 0.1, seed, labels)[1] for seed in range(3)]
    assert [len(part) for part in parts] == [16] * 3
    assert [np.bincount(labels[part]).tolist() for part in parts] == [[10, 5, 1]] * 3
    assert len({tuple(part.tolist()) for part in parts}) == 3


@pytest.mark.parametrize(
    ("names", "classes", "splits"),
    [
        (["train/cat/1", "train/dog/1", "val/cat/2"], "cat dog cat", "train train val"),
        (["train/cat/1", "valid/cat/2", "test/dog/x/3"], "cat cat dog", "train val test"),
        (["o/train/cat/1", "o/validation/cat/2", "o/train/3"], "cat cat -", "train val -"),
        (["train/cat/1", "train/dog/1"], "cat dog", "train train"),
        (["train/cat/1", "test/2"], "cat -", "train -"),
        (["train/cat/1", "test/cat/2", "extra/cat/3", "4"], "cat cat - -", "train test - -"),
        (["train/1", "test/2", "bus/3"], "train test bus", None),
        (["train/steam/1", "plane/2", "car/3"], "train plane car", None),
        (["train/1", "val/2"], "- -", "- -"),
        (["cat/1", "test/2"], "cat test", None),
        (["o/p/cat/1", "o/p/dog/x/2"], "cat dog", None),
        (["cat/1", "dog/2", "3"], "cat dog -", None),
        (["o/cat/1", "o/dog/2", "3"], "cat dog -", None),
        (["1", "2"], "- -", None),
    ],
)
def test_folders_say_classes_and_splits(names: list[str], classes: str, splits: str | None) -> None:
    def read(text: str) -> tuple[str, ...]:
        return tuple(word.replace("-", "") for word in text.split())

    assert read_layout(names) == FolderLayout(read(classes), None if splits is None else read(splits))


def test_without_a_test_folder_there_is_no_test_image() -> None:
    names = [f"{split}/{kind}/{k}" for split in ("train", "val") for kind in "ab" for k in range(9)]
    layout = read_layout(names)
    labels = np.array([kind == "b" for kind in layout.classes], np.int64)
    parts = class_parts(layout, labels, 0.1, 0)
    assert {name: part.tolist() for name, part in parts.items()} == {
        "train": list(range(18)), "val": list(range(18, 36)), "test": [],
    }  # fmt: skip
    only = read_layout(names[:18])
    assert [len(class_parts(only, labels[:18], 0.1, 0)[name]) for name in ("train", "val", "test")] == [
        16,
        2,
        0,
    ]
    with pytest.raises(DataError, match="train/"):
        class_parts(read_layout(["train/1", "val/a/2", "val/b/3"]), labels[:3], 0.1, 0)


@pytest.mark.parametrize(("label", "split", "at"), [(-1, "train", 4), (3, "val", 0), (300, "test", 2)])
def test_a_label_that_is_no_class_is_the_datasets_error_and_names_the_image(
    label: int, split: str, at: int
) -> None:
    labels = torch.arange(15) % 3
    indices = {"train": np.arange(5), "val": np.arange(5, 10), "test": np.arange(10, 15)}
    images = Images.from_tensor(torch.zeros(15, 1, 4, 4, dtype=torch.uint8))
    data = classification_data(images, labels, indices, ("a", "b", "c"))
    check_labels(data, "fine")
    labels[indices[split][at]] = label
    said = f'"odd" labels image {at} of its {split} split as {label}: its 3 classes are 0 to 2'
    with pytest.raises(DataError, match=said):
        check_labels(data, "odd")
