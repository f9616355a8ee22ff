"""Each check of augmentations finds the mistake that it is for, and no other check does."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nnkit.testing import CHECKS, AugmentationContract, Subject, run_check

CHECKS_OF_ONE = CHECKS["augmentations"]


def failing(cls: type[Any]) -> set[str]:
    outcomes = [run_check(check, Subject("augmentations", cls)) for check in CHECKS_OF_ONE.values()]
    return {outcome.check for outcome in outcomes if outcome.status == "failed"}


def made_of(function: Callable[[Tensor, Tensor | None, Tensor], Any]) -> type[Any]:
    """A class that applies a function; it does not pickle."""

    class Made:
        """An augmentation."""

        def __call__(self, images: Tensor, mask: Tensor | None, sizes: Tensor) -> tuple[Tensor, Any]:
            found: tuple[Tensor, Any] = function(images, mask, sizes)
            return found

    return Made


def outside(images: Tensor, mask: Tensor | None, sizes: Tensor) -> tuple[Tensor, Any]:
    return (images.flip(3), mask) if torch.rand(()) < 0.5 else (images, mask)


@pytest.mark.parametrize(
    ("function", "check"),
    [
        (lambda images, mask, sizes: (images[:, :, 1:], mask), None),
        (lambda images, mask, sizes: (images, None if mask is None else ~mask), "keeps_shape_and_type"),
        (lambda images, mask, sizes: (images / images.amax(), mask), "gives_finite_values"),
        (lambda images, mask, sizes: (images * random.random(), mask), "draws_from_torchs_generator"),
        (lambda images, mask, sizes: (images - images.mean(0), mask), "changes_each_image_by_itself"),
        (outside, "sees_no_padding"),
        (lambda images, mask, sizes: (images, mask), "survives_spawn"),
    ],
)
def test_a_check_finds_its_mistake(
    function: Callable[[Tensor, Tensor | None, Tensor], Any], check: str | None
) -> None:
    found = failing(made_of(function))
    assert "survives_spawn" in found  # a local class does not pickle
    assert check in found if check else "keeps_shape_and_type" in found


def test_a_sound_one_fails_no_check_but_that_of_pickling() -> None:
    sound = made_of(lambda images, mask, sizes: (images * torch.rand(len(images), 1, 1, 1), mask))
    assert failing(sound) == {"survives_spawn"}


def test_a_module_of_torch_is_one_as_it_stands() -> None:
    class TestDropout(AugmentationContract):
        component = nn.Dropout

    assert failing(nn.Dropout) == set()
    assert {name for name in vars(AugmentationContract) if name.startswith("test_")} == {
        f"test_{name}" for name in CHECKS_OF_ONE
    }
    TestDropout().test_keeps_shape_and_type()  # type: ignore[attr-defined]
