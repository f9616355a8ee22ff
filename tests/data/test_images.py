from __future__ import annotations

import numpy as np
import pytest
import torch

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
    batch, mask = Images.from_tensor(tensor).take(np.array([3, 0, 3]))
    assert mask is None
    assert torch.equal(batch, tensor[[3, 0, 3]])


def test_one_size_among_several_needs_no_mask() -> None:
    arrays = varied()
    images = Images.from_arrays(arrays)
    indices = np.flatnonzero((images.sizes == [6, 4]).all(axis=1))[::-1]
    batch, mask = images.take(indices)
    assert mask is None
    assert torch.equal(batch, torch.from_numpy(np.stack([arrays[index] for index in indices])))


@pytest.mark.parametrize("size", [None, (12, 10)])
def test_mixed_sizes_are_padded_at_the_right_and_below(size: tuple[int, int] | None) -> None:
    arrays = varied()
    images = Images.from_arrays(arrays)
    indices = np.random.default_rng(1).permutation(40)
    batch, mask = images.take(indices, size)
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
        Images.from_arrays(varied()).take(np.arange(40), (8, 8))


def test_an_empty_batch_has_no_images() -> None:
    batch, mask = Images.from_tensor(torch.zeros(2, 1, 3, 3, dtype=torch.uint8)).take(np.array([], np.int64))
    assert batch.shape == (0, 1, 3, 3)
    assert mask is None


def test_moving_keeps_the_lookups() -> None:
    images = Images.from_arrays(varied())
    moved = images.to("cpu")
    assert torch.equal(moved.take(np.arange(40))[0], images.take(np.arange(40))[0])


@pytest.mark.parametrize(
    "build",
    [
        lambda: Images.from_arrays([]),
        lambda: Images.from_arrays([np.zeros((1, 2, 2), np.uint8), np.zeros((3, 2, 2), np.uint8)]),
        lambda: Images.from_tensor(torch.zeros(2, 1, 3, 3)),
        lambda: Images.from_tensor(torch.zeros(2, 3, 3, dtype=torch.uint8)),
        lambda: Images({(3, 3): torch.zeros(2, 1, 3, 3, dtype=torch.uint8)}, np.zeros(3)),
        lambda: Images({(3, 3): torch.zeros(2, 1, 3, 3, dtype=torch.uint8)}, np.array([0, 1])),
    ],
)
def test_what_does_not_fit_together_is_refused(build: object) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        build()  # type: ignore[operator]
