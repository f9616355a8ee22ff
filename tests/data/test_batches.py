from __future__ import annotations

import numpy as np
import pytest
import torch

from nnkit.data.batches import Batches, moved
from nnkit.types import Data
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
