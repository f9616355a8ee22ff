"""nnkit's contract tests of each of kornia's classes that the entry points name, and what two of them do."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kornia.augmentation
import pytest
import torch

from nnkit.testing import CHECKS, Subject
from nnkit.training.augmentation import Augmentations

PROJECT = tomllib.loads((Path(__file__).parent / "pyproject.toml").read_text())["project"]
TARGETS = PROJECT["entry-points"]["nnkit.augmentations"]
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "gaussian-blur": {"kernel_size": [3, 3], "sigma": [0.1, 2.0]},
    "motion-blur": {"kernel_size": 3, "angle": 35.0, "direction": 0.5},
    "shear": {"shear": 10.0},
}
"""What a class requires."""


def class_of(name: str) -> type:
    module, _, attribute = TARGETS[name].partition(":")
    assert module == "kornia.augmentation"
    found: type = getattr(kornia.augmentation, attribute)
    return found


@pytest.mark.parametrize("check", CHECKS["augmentations"])
@pytest.mark.parametrize("name", TARGETS)
def test_a_class_of_kornias_passes_as_it_stands(name: str, check: str) -> None:
    subject = Subject("augmentations", class_of(name), SETTINGS.get(name, {}))
    CHECKS["augmentations"][check](subject)


def test_noise_is_on_the_images_and_not_on_their_padding() -> None:
    noise = Augmentations([("noise", class_of("gaussian-noise")(std=0.1, p=1.0))])
    mask = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    mask[0, :, :5, :6], mask[1] = True, True
    images, _ = noise(torch.full((2, 1, 8, 8), 0.5) * mask, mask, torch.tensor([[5, 6], [8, 8]]))
    assert not images.masked_select(~mask).any()
    assert images.masked_select(mask).unique().numel() == 5 * 6 + 8 * 8


def test_one_that_mixes_images_does_not_pass() -> None:
    subject = Subject("augmentations", kornia.augmentation.RandomCutMixV2, {"p": 1.0})
    with pytest.raises(AssertionError, match="changes the others"):
        CHECKS["augmentations"]["changes_each_image_by_itself"](subject)
