from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nnkit.models._crop import centre_of_mass_crop
from padding import padded

SIDE = st.integers(1, 40)


def canvas(thing: Tensor, top: int, left: int, ground: float = 0.0) -> Tensor:
    """One image, (1, C, 48, 64), of value `ground` with `thing` pasted on it."""
    channels, height, width = thing.shape
    image = torch.full((1, channels, 48, 64), ground)
    image[0, :, top : top + height, left : left + width] = thing
    return image


@settings(max_examples=30, deadline=None, derandomize=True)
@given(top=st.integers(8, 30), left=st.integers(8, 40), side=st.integers(14, 16), symmetric=st.booleans())
def test_the_crop_of_an_object_is_the_same_wherever_it_is(
    top: int, left: int, side: int, symmetric: bool
) -> None:
    thing = torch.rand(2, 7, 5, generator=torch.Generator().manual_seed(0)) + 0.1
    if symmetric:  # its centre lies on half a pixel from the middle of an even window
        thing = torch.ones(2, 3, 4)
    seen = centre_of_mass_crop(canvas(thing, top, left, ground=-0.4), side)
    assert seen.shape == (1, 2, side, side)
    torch.testing.assert_close(
        seen, centre_of_mass_crop(canvas(thing, 20, 22, ground=-0.4), side), rtol=0, atol=0
    )
    assert (seen != -0.4).sum() == thing.numel()


@pytest.mark.parametrize(("side", "place"), [(9, [4, 4]), (8, [3, 3]), (1, [0, 0])])
def test_the_centre_of_mass_is_in_the_middle(side: int, place: list[int]) -> None:
    # An even side has no middle pixel.
    assert centre_of_mass_crop(canvas(torch.ones(1, 1, 1), 30, 11), side)[0, 0].nonzero().tolist() == [place]


def test_a_constant_image_is_cropped_at_its_middle() -> None:
    rows = torch.arange(20.0).view(1, 1, 20, 1).expand(1, 1, 20, 30)
    flat = torch.zeros(1, 1, 20, 30)
    both = torch.cat([rows * 1e-30, flat])
    assert torch.equal(centre_of_mass_crop(flat + 3, 6), torch.full((1, 1, 6, 6), 3.0))
    assert torch.isfinite(centre_of_mass_crop(both, 6)).all()
    # All its pixels are alike: where the window lies, the gradient tells.
    small = torch.ones(1, 1, 5, 7, requires_grad=True)
    centre_of_mass_crop(small, 1).sum().backward()
    assert small.grad is not None
    assert small.grad[0, 0].nonzero().tolist() == [[2, 3]]


def test_outside_the_image_its_edge_repeats() -> None:
    image = torch.arange(6.0).view(1, 1, 2, 3)
    seen = centre_of_mass_crop(image, 7)[0, 0]
    assert set(seen.flatten().tolist()) == set(range(6))
    assert (seen[0] == seen[1]).all()
    assert (seen[:, -1] == seen[:, -2]).all()


@pytest.mark.parametrize("fill", [0.0, 9.0, float("nan")])
@settings(max_examples=30, deadline=None, derandomize=True)
@given(sizes=st.lists(st.tuples(SIDE, SIDE), min_size=1, max_size=5), side=st.integers(1, 12))
def test_a_padded_batch_gives_the_windows_of_its_images_to_the_bit(
    fill: float, sizes: list[tuple[int, int]], side: int
) -> None:
    torch.manual_seed(0)
    images = [torch.randn(2, *size) for size in sizes]
    alone = torch.cat([centre_of_mass_crop(image[None], side) for image in images])
    batch, mask = padded(images, fill)
    assert torch.equal(centre_of_mass_crop(batch, side, mask), alone)


def test_the_gradient_reaches_the_pixels_seen_and_no_other() -> None:
    image = canvas(torch.ones(1, 3, 3), 10, 40).requires_grad_()
    centre_of_mass_crop(image, 5).sum().backward()
    assert image.grad is not None
    assert torch.equal(image.grad, canvas(torch.ones(1, 5, 5), 9, 39))


@pytest.mark.parametrize("axis", [2, 3])
def test_a_long_image_is_summed_finely_enough_to_find_its_middle(axis: int) -> None:
    image = torch.ones(1, 1, 1, 8000)  # the sum of its places is no float32
    image[..., 0] = image[..., -1] = 0
    image = image.transpose(3, axis).contiguous().requires_grad_()
    centre_of_mass_crop(image, 1).sum().backward()
    assert image.grad is not None
    assert image.grad.flatten().nonzero().tolist() == [[4000]]


@pytest.mark.gpu
def test_a_gpu_sees_the_same_windows() -> None:
    torch.manual_seed(0)
    batch, mask = padded([torch.rand(1, 30, 41), torch.rand(1, 64, 20)], 0.0)
    on_gpu = centre_of_mass_crop(batch.cuda(), 28, mask.cuda())
    assert torch.equal(on_gpu.cpu(), centre_of_mass_crop(batch, 28, mask))
