from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nnkit.build import build
from nnkit.data.batches import Batches, moved
from nnkit.data.images import Images
from nnkit.data.splits import classification_data
from nnkit.training.masks import output_of
from nnkit.types import Batch, Bucketing, Data
from tiny_plugin import NUM, Tiny

CPU = torch.device("cpu")


@pytest.fixture
def data() -> Data:
    return Tiny(several=True).load(None)  # type: ignore[arg-type]


def test_every_image_comes_once_normalised_with_its_target(data: Data) -> None:
    split = data.splits["train"]
    batches = Batches(data, split, batch_size=16, device=CPU)
    seen = []
    for batch in batches.load(batches.plan(epoch=1, seed=3, shuffle=True)):
        assert batch.inputs.dtype == torch.float32
        assert batch.mask is None
        assert batch.own_size == tuple(batch.inputs.shape[2:])
        for row, position in enumerate(batch.indices):
            index = split.indices[position]
            expected = (split.images.image(index).float() / 255 - 0.4) / 0.3
            torch.testing.assert_close(batch.inputs[row], expected)
            assert batch.targets[row] == split.targets[index]
        seen += batch.indices.tolist()
    assert sorted(seen) == list(range(NUM["train"]))


def test_the_length_is_the_number_of_batches_of_any_epoch(data: Data) -> None:
    batches = Batches(data, data.splits["train"], batch_size=16, device=CPU)
    assert len(batches) == 6
    assert {len(batches.plan(epoch=epoch, seed=1, shuffle=True)) for epoch in range(5)} == {6}


def test_an_order_by_resolution_goes_from_small_to_large(data: Data) -> None:
    batches = Batches(data, data.splits["train"], batch_size=16, device=CPU)
    plan = batches.plan(epoch=1, shuffle=True, order="by-resolution")
    areas = [batch.inputs[0].numel() for batch in batches.load(plan)]
    assert areas == sorted(areas)
    mixed = [
        [batch.inputs[0].numel() for batch in batches.load(batches.plan(epoch=epoch, shuffle=True))]
        for epoch in range(1, 5)
    ]
    assert any(order != sorted(order) for order in mixed)


def test_a_split_without_images_has_no_batches() -> None:
    data = Tiny(empty_val=True).load(None)  # type: ignore[arg-type]
    batches = Batches(data, data.splits["val"], batch_size=16, device=CPU)
    assert len(batches) == 0
    assert list(batches.load(batches.plan())) == []


def test_augmentation_sees_values_between_zero_and_one_before_they_are_normalised(data: Data) -> None:
    seen = []

    def look(images: torch.Tensor) -> torch.Tensor:
        seen.append((float(images.min()), float(images.max())))
        return images.clone()

    batches = Batches(data, data.splits["train"], batch_size=16, device=CPU, augment=look)
    first = next(batches.load(batches.plan()))
    assert 0 <= seen[0][0] <= seen[0][1] <= 1
    assert float(first.inputs.min()) < 0


def test_the_images_themselves_stay_as_they_are(data: Data) -> None:
    split = data.splits["train"]
    before = [tensor.clone() for tensor in split.images.groups.values()]
    batches = Batches(data, split, batch_size=16, device=CPU, channels_last=True)
    for batch in batches.load(batches.plan()):
        assert batch.inputs.is_contiguous(memory_format=torch.channels_last)
        batch.inputs.zero_()
    assert all(torch.equal(a, b) for a, b in zip(before, split.images.groups.values(), strict=True))


def test_moved_data_still_shares_what_its_splits_shared(data: Data) -> None:
    other = moved(data, CPU)
    images = {id(split.images) for split in other.splits.values()}
    assert len(images) == 1
    assert np.array_equal(other.splits["val"].own_sizes, data.splits["val"].own_sizes)


def padded(data: Data, **settings: Any) -> Batches:
    data = replace(data, bucketing=Bucketing(**settings))
    return Batches(data, data.splits["train"], batch_size=16, device=CPU)


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
    told = Bucketing(max_buckets=max_buckets, pad_to=pad_to, leftovers=leftovers)  # type: ignore[arg-type]
    data = classification_data(
        images, torch.zeros(len(sizes), dtype=torch.int64), parts, "ab", bucketing=told
    )
    batches = Batches(data, data.splits["train"], batch_size=4, device=CPU)
    torch.manual_seed(0)
    model = build("models", "varres-net:pooling=avg", known=data.known_settings()).eval()
    seen: list[int] = []
    with torch.inference_mode():
        alone = {int(b.indices[0]): model(b.inputs) for b in _one_by_one(data)}
        for batch in batches.load(batches.plan(epoch=1, shuffle=True)):
            logits = output_of(model, batch)
            seen += batch.indices.tolist()
            for row, index in enumerate(batch.indices.tolist()):
                torch.testing.assert_close(logits[row], alone[index][0], atol=1e-5, rtol=1e-4)
    assert sorted(seen) == list(range(len(sizes)))


def _one_by_one(data: Data) -> Iterator[Batch]:
    batches = Batches(replace(data, bucketing=Bucketing()), data.splits["train"], batch_size=1, device=CPU)
    return batches.load(batches.plan())


def test_outside_the_images_a_padded_batch_is_zero_also_after_augmentation(data: Data) -> None:
    data = replace(data, bucketing=Bucketing(max_buckets=1))
    batches = Batches(data, data.splits["train"], batch_size=16, device=CPU, augment=lambda x: x + 0.3)
    for batch in batches.load(batches.plan(shuffle=True)):
        assert batch.inputs.shape[2:] == (12, 12)
        assert batch.mask is not None
        assert float(batch.inputs.masked_select(~batch.mask).abs().max()) == 0
        assert int(batch.mask.sum()) == sum(data.splits["train"].sizes[batch.indices].prod(axis=1))


def test_a_batch_holds_no_more_pixels_than_it_may_in_training_and_in_evaluation(data: Data) -> None:
    batches = padded(data, max_pixels=300)
    for shuffle in (True, False):
        for batch in batches.load(batches.plan(shuffle=shuffle)):
            assert batch.inputs[:, 0].numel() <= 300


def test_evaluation_pads_nothing_and_drops_nothing_whatever_training_does(data: Data) -> None:
    batches = padded(data, max_buckets=1, leftovers="drop")
    seen = []
    for batch in batches.load(batches.plan()):
        assert batch.mask is None
        assert batch.own_size == tuple(batch.inputs.shape[2:])
        seen += batch.indices.tolist()
    assert sorted(seen) == list(range(NUM["train"]))
    assert batches.plan(shuffle=True).forecast.num_dropped == NUM["train"] % 16
    assert len(batches) == NUM["train"] // 16


def test_a_plan_that_may_pad_says_so(data: Data) -> None:
    assert not padded(data).pads
    assert not padded(data, max_buckets=3).pads
    assert padded(data, max_buckets=2).pads
    assert padded(data, pad_to="batch", tolerance=0.5).pads
    assert padded(data, leftovers="merge").pads


def test_the_length_counts_batches_of_training_also_where_own_sizes_make_others(data: Data) -> None:
    images = data.splits["train"].images.resized(np.full((len(data.splits["train"].images), 2), 9))
    split = replace(data.splits["train"], images=images)
    batches = Batches(data, split, batch_size=40, device=CPU)
    assert len(batches) == 3  # 90 images of one size in batches of 40; of three own sizes it would be 3 × 1
    assert len(Batches(data, split, batch_size=90, device=CPU)) == 1
