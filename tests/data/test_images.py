from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as F

from nnkit.data.images import Images


def varied(count: int = 40, channels: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    sizes = [(4, 6), (6, 4), (9, 9)]
    return [rng.integers(1, 256, (channels, *sizes[rng.integers(3)]), dtype=np.uint8) for _ in range(count)]


def test_every_image_is_found_again_in_its_own_size() -> None:
    arrays = varied()
    images = Images.from_arrays(arrays)
    assert len(images) == 40
    assert images.channels == 3
    assert images.image_size is None
    for index, array in enumerate(arrays):
        assert torch.equal(images.image(index), torch.from_numpy(array))
        assert tuple(images.sizes[index]) == array.shape[1:]


def test_grey_arrays_need_no_channel_axis() -> None:
    assert Images.from_arrays([np.zeros((4, 5), np.uint8)]).image(0).shape == (1, 4, 5)


def test_a_batch_of_one_size_is_a_gather_without_mask() -> None:
    tensor = torch.randint(0, 256, (20, 1, 5, 7), dtype=torch.uint8)
    batch, mask = Images.from_tensor(tensor).fetch(np.array([3, 0, 3]))
    assert mask is None
    assert torch.equal(batch, tensor[[3, 0, 3]])


def test_one_size_among_several_needs_no_mask() -> None:
    arrays = varied()
    images = Images.from_arrays(arrays)
    indices = np.flatnonzero((images.sizes == [6, 4]).all(axis=1))[::-1]
    batch, mask = images.fetch(indices)
    assert mask is None
    assert torch.equal(batch, torch.from_numpy(np.stack([arrays[index] for index in indices])))


@pytest.mark.parametrize("size", [None, (12, 10)])
def test_mixed_sizes_are_padded_at_the_right_and_below(size: tuple[int, int] | None) -> None:
    arrays = varied()
    images = Images.from_arrays(arrays)
    indices = np.random.default_rng(1).permutation(40)
    batch, mask = images.fetch(indices, size)
    assert mask is not None
    assert tuple(batch.shape[2:]) == (size or (9, 9))
    for row, index in enumerate(indices):
        _, height, width = arrays[index].shape
        assert torch.equal(batch[row, :, :height, :width], torch.from_numpy(arrays[index]))
        assert mask[row].sum() == height * width
        assert mask[row, 0, :height, :width].all()
        assert not batch[row].masked_select(~mask[row]).any()


def test_an_image_larger_than_the_size_is_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        Images.from_arrays(varied()).fetch(np.arange(40), (8, 8))


def test_an_empty_batch_has_no_images() -> None:
    batch, mask = Images.from_tensor(torch.zeros(2, 1, 3, 3, dtype=torch.uint8)).fetch(np.array([], np.int64))
    assert batch.shape == (0, 1, 3, 3)
    assert mask is None


def test_an_empty_batch_has_the_size_that_is_asked_for() -> None:
    nothing = np.array([], np.int64)
    several = Images.from_arrays(varied())
    one = Images.from_tensor(torch.zeros(2, 1, 3, 4, dtype=torch.uint8))
    for images, size, shape in (
        (several, None, (0, 3, 0, 0)),
        (several, (12, 10), (0, 3, 12, 10)),
        (one, (5, 6), (0, 1, 5, 6)),
    ):
        batch, mask = images.fetch(nothing, size)
        assert (tuple(batch.shape), batch.dtype, mask) == (shape, torch.uint8, None)


def test_images_of_one_size_are_padded_where_a_larger_one_is_asked_for() -> None:
    tensor = torch.randint(1, 256, (6, 2, 3, 4), dtype=torch.uint8)
    images = Images.from_tensor(tensor)
    batch, mask = images.fetch(np.array([4, 1]), (3, 4))
    assert mask is None
    for size in ((5, 4), (3, 6), (5, 6)):
        batch, mask = images.fetch(np.array([4, 1]), size)
        assert batch.shape == (2, 2, *size)
        assert torch.equal(batch[:, :, :3, :4], tensor[[4, 1]])
        assert mask is not None
        assert torch.equal(mask.expand(-1, 2, -1, -1), batch > 0)


@pytest.mark.parametrize("size", [(8, 9), (9, 8)])
def test_an_image_that_is_too_high_or_too_wide_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="9×9 do not fit"):
        Images.from_arrays(varied()).fetch(np.arange(40), size)


def test_batches_come_in_the_order_of_the_requests() -> None:
    images = Images.from_arrays(varied())
    requests = [(np.array([3, 1]), (12, 12)), (np.array([2]), None), (np.array([0, 5, 7]), (9, 10))]
    for (indices, size), (batch, mask) in zip(requests, images.batches(iter(requests)), strict=True):
        expected, there = images.fetch(indices, size)
        assert torch.equal(batch, expected)
        assert mask is there is None or torch.equal(mask, there)  # type: ignore[arg-type]


def test_groups_stand_in_the_order_that_they_were_given_in() -> None:
    rng = np.random.default_rng(0)
    large, small = (
        torch.from_numpy(rng.integers(0, 256, shape, np.uint8)) for shape in ((2, 1, 5, 5), (3, 1, 2, 2))
    )
    images = Images({(5, 5): large, (2, 2): small}, np.array([1, 0, 1, 1, 0], np.uint8))
    found = [images.image(index) for index in range(5)]
    expected = [small[0], large[0], small[1], small[2], large[1]]
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert images.sizes.tolist() == [[2, 2], [5, 5], [2, 2], [2, 2], [5, 5]]
    assert images.group_of.tolist() == [1, 0, 1, 1, 0]


@pytest.mark.parametrize("chunk_bytes", [None, 1, 400])
def test_resized_images_are_each_what_it_is_resized_alone(
    monkeypatch: pytest.MonkeyPatch, chunk_bytes: int | None
) -> None:
    if chunk_bytes is not None:
        monkeypatch.setattr("nnkit.data.images.CHUNK_BYTES", chunk_bytes)
    arrays = varied(20)
    images = Images.from_arrays(arrays)
    shapes = np.random.default_rng(1).integers(2, 5, (20, 2)) * 2
    resized = images.resized(shapes)
    assert resized.sizes.tolist() == shapes.tolist()
    assert np.array_equal(resized.original_sizes, images.sizes)
    for index, array in enumerate(arrays):
        alone = F.resize(torch.from_numpy(array)[None], shapes[index].tolist(), antialias=True)[0]
        assert torch.equal(resized.image(index), alone)
    again = resized.resized(np.full((20, 2), 5))
    assert again.image_size == (5, 5)
    assert np.array_equal(again.original_sizes, images.sizes)


def test_images_know_the_size_that_they_were_made_from() -> None:
    own = np.array([[1, 2], [3, 4]])
    made = Images.from_tensor(torch.zeros(2, 1, 3, 3, dtype=torch.uint8), original_sizes=own)
    assert made.original_sizes.tolist() == own.tolist()
    assert made.sizes.tolist() == [[3, 3], [3, 3]]
    assert made.image_size == (3, 3)


def test_moved_images_are_the_same_on_another_device() -> None:
    images = Images.from_arrays(varied())
    moved = images.to("cpu")
    assert torch.equal(moved.fetch(np.arange(40))[0], images.fetch(np.arange(40))[0])
    there = images.resized(images.sizes + 1).to("meta")
    assert there.device == torch.device("meta")
    assert np.array_equal(there.sizes, images.sizes + 1)
    assert np.array_equal(there.original_sizes, images.sizes)
    for indices, size in ((np.arange(40), None), (np.arange(0), None), (np.arange(1), (20, 20))):
        batch, mask = there.fetch(indices, size)
        assert batch.device == there.device
        assert mask is None or mask.device == there.device
    assert images.device == torch.device("cpu")


@pytest.mark.parametrize(
    "build",
    [
        lambda: Images.from_arrays([]),
        lambda: Images.from_arrays([np.zeros((1, 2, 2), np.uint8), np.zeros((3, 2, 2), np.uint8)]),
        lambda: Images.from_tensor(torch.zeros(2, 1, 3, 3)),
        lambda: Images.from_tensor(torch.zeros(2, 3, 3, dtype=torch.uint8)),
        lambda: Images({(3, 3): torch.zeros(2, 1, 3, 3, dtype=torch.uint8)}, np.zeros(3)),
        lambda: Images({(3, 3): torch.zeros(2, 1, 3, 3, dtype=torch.uint8)}, np.array([0, 1])),
        lambda: Images({(3, 3): torch.zeros(2, 1, 3, 3, dtype=torch.uint8)}, np.array([0, -1])),
        lambda: Images({(3, 3): torch.zeros(2, 1, 3, 4, dtype=torch.uint8)}, np.zeros(2)),
        lambda: Images({}, np.zeros(0)),
        lambda: Images(
            {side: torch.zeros(1, side[0], *side, dtype=torch.uint8) for side in ((2, 2), (3, 3))},
            np.array([0, 1]),
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(build: object) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        build()  # type: ignore[operator]
