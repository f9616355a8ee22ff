from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from nnkit.build import build
from nnkit.data.images import Images
from nnkit.data.loaders import EvalLoader, TrainLoader, data_to, normalises
from nnkit.data.resize_policy import with_policy
from nnkit.data.splits import classification_data
from nnkit.training.masks import output_of
from nnkit.types import Batch, Bucketing, Data, Split
from tiny_plugin import NUM, Tiny

CPU = torch.device("cpu")
ONE_BUCKET = Bucketing(max_buckets=1)


@pytest.fixture
def data() -> Data:
    return Tiny(several=True).load(None)  # type: ignore[arg-type]


def test_every_image_comes_once_normalised_with_its_target(data: Data) -> None:
    split = data.splits["train"]
    batches = TrainLoader(data, split, batch_size=16, device=CPU)
    seen = []
    for batch in batches.load(batches.plan(epoch=1, seed=3)):
        assert batch.inputs.dtype == torch.float32
        assert batch.mask is None
        assert batch.original_size == tuple(batch.inputs.shape[2:])
        for row, position in enumerate(batch.indices):
            index = split.indices[position]
            expected = (split.images.image(index).float() / 255 - 0.4) / 0.3
            torch.testing.assert_close(batch.inputs[row], expected)
            assert batch.targets[row] == split.targets[index]
        seen += batch.indices.tolist()
    assert sorted(seen) == list(range(NUM["train"]))


def mixed(
    count: int = 40, *, channels: int = 3, mean: tuple[float, ...] = (), std: tuple[float, ...] = ()
) -> tuple[Data, list[np.ndarray]]:
    """Coloured images of three sizes, some of them a split, with the arrays that they were made of."""
    rng = np.random.default_rng(0)
    sizes = [(9, 5), (4, 6), (6, 4)]
    arrays = [rng.integers(0, 256, (channels, *sizes[size]), np.uint8) for size in rng.integers(0, 3, count)]
    data = Data(
        task="classification",
        splits={
            "train": Split(
                Images.from_arrays(arrays), torch.arange(count) * 10, rng.permutation(count)[: count - 5]
            )
        },
        in_channels=channels,
        image_size=None,
        mean=mean or (0.0,) * channels,
        std=std or (1.0,) * channels,
    )
    return data, arrays


@pytest.mark.parametrize("channels_last", [False, True])
def test_evaluation_takes_each_image_once_small_sizes_first_in_the_order_of_the_split(
    channels_last: bool,
) -> None:
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.25, 2.0)
    data, arrays = mixed(mean=mean, std=std)
    split = data.splits["train"]
    by_size = [
        place
        for size in ((4, 6), (6, 4), (9, 5))
        for place in range(35)
        if arrays[split.indices[place]].shape[1:] == size
    ]
    batches = EvalLoader(data, split, batch_size=4, device=CPU, channels_last=channels_last)
    seen: list[int] = []
    for batch in batches:
        expected = np.stack([arrays[split.indices[place]] for place in batch.indices]) / 255
        expected = (expected - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
        assert batch.inputs.dtype == torch.float32
        np.testing.assert_allclose(batch.inputs.numpy(), expected, rtol=1e-5, atol=1e-6)
        assert batch.targets.tolist() == (split.indices[batch.indices] * 10).tolist()
        assert batch.mask is None
        assert batch.original_size == expected.shape[2:]
        assert batches.channels_last == channels_last
        form = torch.channels_last if channels_last else torch.contiguous_format
        assert batch.inputs.is_contiguous(memory_format=form)
        seen += batch.indices.tolist()
    assert seen == by_size
    assert [len(batch) for batch in batches.plan()] == [
        min(4, count - start)
        for count in np.unique(split.sizes, axis=0, return_counts=True)[1]
        for start in range(0, count, 4)
    ]


@pytest.mark.parametrize(("pad_to", "shape"), [("bucket", (9, 6)), ("batch", None)])
def test_a_padded_batch_holds_each_image_at_the_top_left_and_zeros_elsewhere(
    pad_to: Any, shape: tuple[int, int] | None
) -> None:
    data, arrays = mixed(mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    split = data.splits["train"]
    bucketing = Bucketing(max_buckets=1, pad_to=pad_to)
    batches = TrainLoader(data, split, batch_size=6, device=CPU, bucketing=bucketing)
    original_sizes = set()
    assert not batches.channels_last
    for batch in batches.load(batches.plan(epoch=1)):
        assert batch.inputs.is_contiguous()
        rows = [arrays[split.indices[place]] for place in batch.indices]
        size = shape or tuple(np.max([row.shape[1:] for row in rows], axis=0))
        expected = np.zeros((len(rows), 3, *size))
        mask = np.zeros((len(rows), 1, *size), bool)
        for place, row in enumerate(rows):
            _, height, width = row.shape
            values = (row / 255 - [[[0.4]], [[0.5]], [[0.6]]]) / [[[0.2]], [[0.3]], [[0.4]]]
            expected[place, :, :height, :width] = values
            mask[place, :, :height, :width] = True
        np.testing.assert_allclose(batch.inputs.numpy(), expected, rtol=1e-5, atol=1e-6)
        assert batch.mask is None if mask.all() else np.array_equal(batch.mask, mask)  # type: ignore[arg-type]
        assert batch.targets.tolist() == (split.indices[batch.indices] * 10).tolist()
        sizes = {row.shape[1:] for row in rows}
        assert batch.original_size == (sizes.pop() if len(sizes) == 1 else None)
        original_sizes.add(batch.original_size)
    assert None in original_sizes


@pytest.mark.parametrize(
    ("mean", "std", "changes"),
    [(0.0, 1.0, False), (0.5, 1.0, True), (0.0, 0.5, True), (0.5, 0.5, True), (0.0, 2.0, True)],
)
def test_inputs_are_normalised_where_mean_or_std_changes_anything(
    mean: float, std: float, changes: bool
) -> None:
    data, arrays = mixed(mean=(0.0, 0.0, mean), std=(1.0, 1.0, std))
    assert normalises(data.mean, data.std) == changes
    split = data.splits["train"]
    batches = EvalLoader(data, split, batch_size=4, device=CPU)
    batch = next(batches.load(batches.plan()))
    pixels = np.stack([arrays[split.indices[place]] for place in batch.indices]) / 255
    pixels[:, 2] = (pixels[:, 2] - mean) / std
    np.testing.assert_allclose(batch.inputs.numpy(), pixels, rtol=1e-5, atol=1e-6)


def test_resized_images_are_told_by_the_size_that_they_had() -> None:
    data, _ = mixed()
    split = data.splits["train"]
    resized = replace(split, images=split.images.resized(np.full((40, 2), 8)))
    for batch in EvalLoader(data, resized, batch_size=4, device=CPU):
        assert batch.inputs.shape[2:] == (8, 8)
        assert {tuple(size) for size in split.sizes[batch.indices]} == {batch.original_size}
    batches = TrainLoader(data, resized, batch_size=4, device=CPU)
    for batch in batches.load(batches.plan()):
        assert batch.inputs.shape[2:] == (8, 8)
        sizes = {tuple(size) for size in split.sizes[batch.indices].tolist()}
        assert batch.original_size == (sizes.pop() if len(sizes) == 1 else None)


def orders(batches: TrainLoader, **settings: Any) -> list[list[int]]:
    return [batch.indices.tolist() for batch in batches.plan(**settings)]


def test_training_takes_another_order_in_each_epoch_and_with_each_seed(data: Data) -> None:
    batches = TrainLoader(data, data.splits["train"], batch_size=16, device=CPU)
    first = orders(batches, epoch=1, seed=3)
    assert first == orders(batches, epoch=1, seed=3)
    assert orders(batches) == orders(batches, epoch=1, seed=0)
    assert first != orders(batches, epoch=2, seed=3)
    assert first != orders(batches, epoch=1, seed=4)
    for other in (orders(batches, epoch=2, seed=3), orders(batches, epoch=1, seed=4)):
        assert sorted(place for batch in other for place in batch) == list(range(NUM["train"]))
        assert {frozenset(batch) for batch in other} != {frozenset(batch) for batch in first}


def test_evaluation_is_planned_once_and_the_same_each_time(data: Data) -> None:
    batches = EvalLoader(data, data.splits["train"], batch_size=16, device=CPU)
    assert batches.plan() is batches.plan()
    first, again = ([batch.indices.tolist() for batch in batches] for _ in range(2))
    assert first == again


def test_another_batch_size_leaves_the_first_as_it_was(data: Data) -> None:
    batches = TrainLoader(data, data.splits["train"], batch_size=16, device=CPU)
    other = batches.with_batch_size(30)
    assert (len(batches), len(other)) == (6, 3)
    assert (batches.batch_size, other.batch_size) == (16, 30)
    assert max(len(batch.inputs) for batch in other.load(other.plan())) == 30
    assert other.split is batches.split


def test_the_length_is_the_number_of_batches_of_any_epoch(data: Data) -> None:
    batches = TrainLoader(data, data.splits["train"], batch_size=16, device=CPU)
    assert len(batches) == 6
    assert {len(batches.plan(epoch=epoch, seed=1)) for epoch in range(5)} == {6}


def test_an_order_by_resolution_goes_from_small_to_large(data: Data) -> None:
    batches = TrainLoader(data, data.splits["train"], batch_size=16, device=CPU)
    plan = batches.plan(epoch=1, order="by-resolution")
    areas = [batch.inputs[0].numel() for batch in batches.load(plan)]
    assert areas == sorted(areas)
    mixed = [
        [batch.inputs[0].numel() for batch in batches.load(batches.plan(epoch=epoch))]
        for epoch in range(1, 5)
    ]
    assert any(order != sorted(order) for order in mixed)


def test_a_split_without_images_has_no_batches() -> None:
    data = Tiny(empty_val=True).load(None)  # type: ignore[arg-type]
    batches = TrainLoader(data, data.splits["val"], batch_size=16, device=CPU)
    assert len(batches) == 0
    assert list(batches.load(batches.plan())) == []


def test_augmentation_sees_values_between_zero_and_one_before_they_are_normalised(data: Data) -> None:
    seen = []

    def look(
        images: torch.Tensor, mask: torch.Tensor | None, sizes: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        seen.append((float(images.min()), float(images.max())))
        return images.clone(), mask

    batches = TrainLoader(data, data.splits["train"], batch_size=16, device=CPU, augment=look)
    first = next(batches.load(batches.plan()))
    assert 0 <= seen[0][0] <= seen[0][1] <= 1
    assert float(first.inputs.min()) < 0


def test_the_images_themselves_stay_as_they_are(data: Data) -> None:
    split = data.splits["train"]
    before = [tensor.clone() for tensor in split.images.groups.values()]
    batches = EvalLoader(data, split, batch_size=16, device=CPU, channels_last=True)
    for batch in batches.load(batches.plan()):
        assert batch.inputs.is_contiguous(memory_format=torch.channels_last)
        batch.inputs.zero_()
    assert all(torch.equal(a, b) for a, b in zip(before, split.images.groups.values(), strict=True))


def test_moved_data_still_shares_what_its_splits_shared(data: Data) -> None:
    other = data_to(data, CPU)
    images = {id(split.images) for split in other.splits.values()}
    assert len(images) == 1
    assert np.array_equal(other.splits["val"].original_sizes, data.splits["val"].original_sizes)


def test_moved_data_and_its_batches_are_on_the_device(data: Data) -> None:
    there = torch.device("meta")
    other = data_to(data, there)
    assert {split.images.device for split in other.splits.values()} == {there}
    assert {split.targets.device for split in other.splits.values()} == {there}
    assert len({id(split.targets) for split in other.splits.values()}) == 1
    assert list(other.splits) == list(data.splits)
    assert data.splits["train"].images.device == CPU
    separate = replace(data, splits={**data.splits, "test": Tiny().load(None).splits["val"]})  # type: ignore[arg-type]
    again = data_to(separate, CPU)
    for name, split in separate.splits.items():
        assert again.splits[name].images.sizes.tolist() == split.images.sizes.tolist()
    for source in (data, data_to(data, there)):
        batches = TrainLoader(
            source, source.splits["train"], batch_size=16, device=there, bucketing=ONE_BUCKET
        )
        assert batches.device == there
        batch = next(batches.load(batches.plan()))
        assert batch.mask is not None
        assert {batch.inputs.device, batch.targets.device, batch.mask.device} == {there}


@pytest.mark.gpu
def test_batches_on_a_gpu_are_those_on_the_cpu() -> None:
    data, _ = mixed(mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    cuda = torch.device("cuda")
    for kind in (TrainLoader, EvalLoader):
        here = kind(data, data.splits["train"], batch_size=6, device=CPU, bucketing=ONE_BUCKET)
        for source in (data, data_to(data, cuda)):
            there = kind(source, source.splits["train"], batch_size=6, device=cuda, bucketing=ONE_BUCKET)
            for one, other in zip(here.load(here.plan()), there.load(there.plan()), strict=True):
                assert other.inputs.device.type == other.targets.device.type == "cuda"
                torch.testing.assert_close(other.inputs.cpu(), one.inputs)
                assert torch.equal(other.targets.cpu(), one.targets)
                assert (one.mask is None) == (other.mask is None)
                assert one.mask is None or torch.equal(other.mask.cpu(), one.mask)  # type: ignore[union-attr]


def test_what_augmentation_returns_is_normalised_and_its_input_is_the_batch_in_float(data: Data) -> None:
    split = data.splits["train"]
    given = []

    def augment(
        images: torch.Tensor, mask: torch.Tensor | None, sizes: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        assert sizes.tolist() == [list(images.shape[2:])] * len(images)
        given.append(images.clone())
        return images.flip(3), mask

    batches = TrainLoader(data, split, batch_size=16, device=CPU, augment=augment)
    plain = TrainLoader(data, split, batch_size=16, device=CPU)
    for one, other in zip(batches.load(batches.plan()), plain.load(plain.plan()), strict=True):
        assert torch.equal(one.inputs, other.inputs.flip(3))
        torch.testing.assert_close(given.pop() * 255, (other.inputs * 0.3 + 0.4) * 255, rtol=0, atol=1e-3)
        assert torch.equal(one.targets, other.targets)


def padded(data: Data, **settings: Any) -> TrainLoader:
    return TrainLoader(data, data.splits["train"], batch_size=16, device=CPU, bucketing=Bucketing(**settings))


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(8, 40), st.integers(8, 40)), min_size=2, max_size=20),
    max_buckets=st.integers(1, 3),
    pad_to=st.sampled_from(["bucket", "batch"]),
    leftovers=st.sampled_from(["keep", "merge"]),
)
def test_a_padded_batch_gives_what_each_of_its_images_gives_alone(
    sizes: list[tuple[int, int]], max_buckets: int, pad_to: str, leftovers: str
) -> None:
    rng = np.random.default_rng(0)
    images = Images.from_arrays([rng.integers(0, 256, size, np.uint8) for size in sizes])
    parts = {"train": np.arange(len(sizes)), "val": np.arange(0), "test": np.arange(0)}
    shared = Bucketing(max_buckets=max_buckets, pad_to=pad_to, leftovers=leftovers)  # type: ignore[arg-type]
    data = classification_data(images, torch.zeros(len(sizes), dtype=torch.int64), parts, "ab")
    batches = TrainLoader(data, data.splits["train"], batch_size=4, device=CPU, bucketing=shared)
    torch.manual_seed(0)
    model = build("models", "varres-net:pooling=avg", known=data.known_settings()).eval()
    seen: list[int] = []
    with torch.inference_mode():
        alone = {int(b.indices[0]): model(b.inputs) for b in _one_by_one(data)}
        for batch in batches.load(batches.plan(epoch=1)):
            logits = output_of(model, batch)
            seen += batch.indices.tolist()
            for row, index in enumerate(batch.indices.tolist()):
                torch.testing.assert_close(logits[row], alone[index][0], atol=1e-5, rtol=1e-4)
    assert sorted(seen) == list(range(len(sizes)))


def _one_by_one(data: Data) -> Iterator[Batch]:
    batches = EvalLoader(data, data.splits["train"], batch_size=1, device=CPU)
    return batches.load(batches.plan())


def test_outside_the_images_a_padded_batch_is_zero_also_after_augmentation(data: Data) -> None:
    batches = TrainLoader(
        data,
        data.splits["train"],
        batch_size=16,
        device=CPU,
        bucketing=ONE_BUCKET,
        augment=lambda x, mask, sizes: (x + 0.3, mask),
    )
    for batch in batches.load(batches.plan()):
        assert batch.inputs.shape[2:] == (12, 12)
        assert batch.mask is not None
        assert float(batch.inputs.masked_select(~batch.mask).abs().max()) == 0
        assert int(batch.mask.sum()) == sum(data.splits["train"].sizes[batch.indices].prod(axis=1))


def test_a_batch_holds_no_more_pixels_than_it_may_in_training_and_in_evaluation(data: Data) -> None:
    bucketing = Bucketing(max_pixels=300)
    for kind in (TrainLoader, EvalLoader):
        loader = kind(data, data.splits["train"], batch_size=16, device=CPU, bucketing=bucketing)
        for batch in loader.load(loader.plan()):
            assert batch.inputs[:, 0].numel() <= 300


@pytest.mark.parametrize(
    "bucketing",
    [
        Bucketing("resize", max_buckets=1, max_pixels=3600),
        Bucketing("resize", (60, 60), max_pixels=3600),
        Bucketing("pad", (60, 60), max_pixels=7200),
    ],
)
def test_pixels_are_counted_in_the_shape_that_images_finally_have(bucketing: Bucketing) -> None:
    """Of nine 2×2 images, resized to 60×60, one batch would have 32,400 pixels."""
    images = Images.from_arrays([np.zeros((2, 2), np.uint8)] * 9 + [np.zeros((60, 60), np.uint8)] * 3)
    parts = {"train": np.array([0, 9, 10]), "val": np.r_[1:9, 11], "test": np.arange(0)}
    data = classification_data(images, torch.zeros(12, dtype=torch.int64), parts, "a")
    data, bucketing = with_policy(data, bucketing)
    limit = bucketing.max_pixels
    assert limit is not None
    for kind, name in ((TrainLoader, "train"), (EvalLoader, "val")):
        loader = kind(data, data.splits[name], batch_size=64, device=CPU, bucketing=bucketing)
        found = [(batch.inputs[:, 0].numel(), batch.inputs.shape[2:]) for batch in loader.load(loader.plan())]
        assert all(pixels <= limit and shape == (60, 60) for pixels, shape in found)
        planned = [
            (len(batch) * batch.height * batch.width, (batch.height, batch.width)) for batch in loader.plan()
        ]
        assert planned == found


def test_evaluation_pads_nothing_and_drops_nothing_whatever_training_does(data: Data) -> None:
    train = padded(data, max_buckets=1, leftovers="drop")
    seen = []
    for batch in EvalLoader(data, train.split, batch_size=16, device=CPU, bucketing=train.bucketing):
        assert batch.mask is None
        assert batch.original_size == tuple(batch.inputs.shape[2:])
        seen += batch.indices.tolist()
    assert sorted(seen) == list(range(NUM["train"]))
    assert train.forecast.num_dropped == NUM["train"] % 16
    assert len(train) == NUM["train"] // 16


def test_a_plan_that_may_pad_says_so(data: Data) -> None:
    assert not padded(data).pads
    assert not padded(data, max_buckets=3).pads
    assert padded(data, max_buckets=2).pads
    assert padded(data, pad_to="batch", tolerance=0.5).pads
    assert padded(data, leftovers="merge").pads


def test_the_length_counts_batches_of_training_also_where_original_sizes_make_others(data: Data) -> None:
    images = data.splits["train"].images.resized(np.full((len(data.splits["train"].images), 2), 9))
    split = replace(data.splits["train"], images=images)
    batches = TrainLoader(data, split, batch_size=40, device=CPU)
    assert len(batches) == 3  # 90 images of one size in batches of 40; three sizes would make 3 × 1
    assert len(TrainLoader(data, split, batch_size=90, device=CPU)) == 1


class _Counted(TorchDispatchMode):
    """Counts what is computed: every operation but those that only look at a tensor otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not func.is_view and func.namespace == "aten":
            self.names.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("num_sizes", [1, 2, 38])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_costs_at_most_a_dozen_operations_whatever_the_number_of_its_sizes(
    num_sizes: int, channels: int
) -> None:
    rng = np.random.default_rng(0)
    arrays = [np.full((channels, 20 + k % num_sizes, 60 - k % num_sizes), k, np.uint8) for k in range(192)]
    parts = {"train": rng.permutation(192), "val": np.arange(0), "test": np.arange(0)}
    data = classification_data(Images.from_arrays(arrays), torch.arange(192) % 2, parts, "ab")
    loader = TrainLoader(
        data, data.splits["train"], batch_size=64, device=CPU, channels_last=True, bucketing=ONE_BUCKET
    )
    batches = loader.load(loader.plan())
    next(batches)  # what the epoch needs is uploaded here
    with _Counted() as counted:
        batch = next(batches)
    assert len(counted.names) <= 12, counted.names
    assert (batch.mask is None) == (num_sizes == 1)
    if num_sizes == 1:
        assert [name for name in counted.names if "index" in name] == ["aten.index_select.default"]


def test_class_indices_are_those_of_the_images_also_where_they_are_gathered_once(data: Data) -> None:
    split = data.splits["train"]
    loader = TrainLoader(data, split, batch_size=16, device=CPU)
    for batch in loader.load(loader.plan(epoch=3)[2:5]):
        assert torch.equal(batch.targets, split.targets[torch.from_numpy(split.indices[batch.indices])])
