"""Augmentations in turn: composed in order, held to shape, type and finite values, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nnkit.errors import PluginError, UsageError
from nnkit.training.augmentation import Augmentations

IMAGES = torch.rand(4, 3, 6, 8, generator=torch.Generator().manual_seed(0))
ONE_SIZE = torch.tensor([[6, 8]] * 4)
SIZES = torch.tensor([[6, 8], [2, 5], [6, 8], [3, 3]])
MASK = torch.zeros(4, 1, 6, 8, dtype=torch.bool)
for _place, (_height, _width) in enumerate(SIZES.tolist()):
    MASK[_place, :, :_height, :_width] = True


class Aware:
    """Applies a function to the images; knows the protocol."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        self.function = function

    def __call__(self, images: Tensor, mask: Tensor | None, sizes: Tensor) -> tuple[Any, Tensor | None]:
        return self.function(images), mask


class Alone(nn.Module):
    """Applies a function to the images; a module that knows images alone."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function
        self.seen: list[tuple[int, ...]] = []

    def forward(self, images: Tensor) -> Any:
        self.seen.append(tuple(images.shape))
        return self.function(images)


def test_they_are_applied_in_order() -> None:
    both = Augmentations([("half", Aware(lambda x: x / 2)), ("more", Aware(lambda x: x + 1))])
    images, mask = both(IMAGES, None, ONE_SIZE)
    assert mask is None
    torch.testing.assert_close(images, IMAGES / 2 + 1)


def test_a_plain_module_sees_the_images_of_each_size_apart_and_no_padding() -> None:
    module = Alone(lambda x: x.flip(3) + x.sum((2, 3), keepdim=True))
    images, mask = Augmentations([("module", module)])(IMAGES * MASK, MASK, SIZES)
    assert sorted(module.seen) == [(1, 3, 2, 5), (1, 3, 3, 3), (2, 3, 6, 8)]
    assert mask is not None
    assert torch.equal(mask, MASK)
    assert not images.masked_select(~MASK).any()
    for place, (height, width) in enumerate(SIZES.tolist()):
        own = IMAGES[place, :, :height, :width]
        torch.testing.assert_close(
            images[place, :, :height, :width], own.flip(2) + own.sum((1, 2), keepdim=True)
        )
    module.seen.clear()
    Augmentations([("module", module)])(IMAGES, None, ONE_SIZE)
    assert module.seen == [(4, 3, 6, 8)]


def test_a_module_that_takes_mask_and_sizes_is_given_them() -> None:
    class Both(nn.Module):
        def forward(self, images: Tensor, mask: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
            return images + sizes.view(-1, 2, 1, 1).sum(1, keepdim=True) * mask, mask

    images, _ = Augmentations([("both", Both())])(torch.zeros(4, 3, 6, 8), MASK, SIZES)
    assert images[:, 0, 0, 0].tolist() == [14, 7, 14, 6]


def test_outside_the_images_the_next_one_finds_zeros() -> None:
    seen: list[Tensor] = []
    bright = Aware(lambda x: x + 1)
    Augmentations([("bright", bright), ("look", Aware(lambda x: seen.append(x) or x))])(
        IMAGES * MASK, MASK, SIZES
    )
    assert not seen[0].masked_select(~MASK).any()


def test_what_comes_back_may_be_written_to() -> None:
    grey = Alone(lambda x: x.mean(1, keepdim=True).expand(-1, 3, -1, -1))
    images, _ = Augmentations([("grey", grey)])(IMAGES, None, ONE_SIZE)
    images.sub_(0.5)
    torch.testing.assert_close(images[:, 2], IMAGES.mean(1) - 0.5)


@pytest.mark.parametrize("kind", [Aware, Alone])
@pytest.mark.parametrize("mask", [None, MASK])
@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: x[:, :, :-1], "it was given a batch of"),
        (lambda x: x.double(), "and gave float64"),
        (lambda x: (x, x), "expected a tensor for a batch, but it gave a tuple"),
        (lambda x: None, "expected a tensor for a batch, but it gave a NoneType"),
        (lambda x: x / 0, "gave values that are not finite"),
        (lambda x: x.where(x < x.max(), torch.nan), "gave values that are not finite"),
        (lambda x: x.where(x < x.max(), -torch.inf), "gave values that are not finite"),
        (lambda x: x.nothing, "broke on images of shape .*: AttributeError"),
    ],
)
def test_what_breaks_the_protocol_is_one_message_that_names_it(
    kind: Callable[..., Any], mask: Tensor | None, function: Callable[[Tensor], Any], said: str
) -> None:
    fine = ("fine", Aware(lambda x: x))
    sizes = ONE_SIZE if mask is None else SIZES
    with pytest.raises((UsageError, PluginError), match=f'^the augmentation "odd:x=1".*{said}') as caught:
        Augmentations([fine, ("odd:x=1", kind(function)), fine])(IMAGES + 0.1, mask, sizes)
    assert caught.value.hint or "expected a tensor" in said
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda images, mask, sizes: images, "expected a pair, images and mask, but it gave a Tensor"),
        (lambda images, mask, sizes: (images, None), "expected the mask that it was given"),
        (lambda images, mask, sizes: (images, mask[:, 0]), "it was given a mask of bool"),
    ],
)
def test_the_mask_comes_back(answer: Callable[..., Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Augmentations([("odd", answer)])(IMAGES, MASK, SIZES)


def test_an_error_of_memory_is_none_of_the_augmentation() -> None:
    def full(images: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        Augmentations([("full", Aware(full))])(IMAGES, None, ONE_SIZE)


def test_states_are_saved_and_restored_in_order() -> None:
    def counting() -> Augmentations:
        return Augmentations([("plain", Aware(lambda x: x)), ("norm", nn.BatchNorm2d(3))])

    first, second = counting(), counting()
    first(IMAGES, None, ONE_SIZE)
    second.load_state_dict(first.state_dict())
    assert first.state_dict()[0] is None
    assert second.state_dict()[1].keys() == first.state_dict()[1].keys()
    assert torch.equal(second(IMAGES, None, ONE_SIZE)[0], first(IMAGES, None, ONE_SIZE)[0])
    assert torch.equal(second.state_dict()[1]["running_mean"], first.state_dict()[1]["running_mean"])
