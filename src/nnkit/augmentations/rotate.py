"""rotate: rotations about the centre."""

from __future__ import annotations

import kornia.augmentation as K

from nnkit.augmentations._settings import check_range
from nnkit.data.augmentation import KorniaAugmentation


class Rotate(KorniaAugmentation):
    """Turn an image about its own centre: bilinear, black outside (report D).

    The angle is uniform, up to `degrees` (0 to 180) either way. `p` is the probability that an image is
    turned.
    """

    def __init__(self, *, degrees: float = 20.0, p: float = 0.5) -> None:
        check_range("degrees", degrees, 0, 180)
        check_range("p", p, 0, 1)
        super().__init__([K.RandomRotation(degrees, p=p)])
