"""Augmentation of whole batches: random transforms drawn for each image, computed for all at once.

kornia's transforms of whole batches save one call per image. They draw from torch's default generator, which
training seeds at every step from (seed, epoch, step).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor, nn

Augmentation = Literal["none", "affine", "rotate", "report"]


def make_augmentation(name: Augmentation) -> Callable[[Tensor], Tensor] | None:
    """A map of images in [0, 1], float (B, C, H, W), to augmented ones of the same shape; None for "none".

    - `affine`: rotation ±10°, shift 0.05 of the side, scale 0.9–1.1, for every image.
    - `rotate`: rotation ±20° with probability 0.5.
    - `report`: rotation ±15°, shift 0.1, scale 0.9–1.1, perspective 0.1 with probability 0.5, Gaussian blur 3
      with sigma 0.1–1.0.
    """
    if name == "none":
        return None
    import kornia.augmentation as K

    steps: dict[str, list[Any]] = {
        "affine": [K.RandomAffine(10.0, translate=(0.05, 0.05), scale=(0.9, 1.1), p=1.0)],
        "rotate": [K.RandomRotation(20.0, p=0.5)],
        "report": [
            K.RandomAffine(15.0, translate=(0.1, 0.1), scale=(0.9, 1.1), p=1.0),
            K.RandomPerspective(0.1, p=0.5),
            K.RandomGaussianBlur((3, 3), (0.1, 1.0), p=1.0),
        ],
    }
    sequence: nn.Sequential = nn.Sequential(*steps[name])
    return sequence
