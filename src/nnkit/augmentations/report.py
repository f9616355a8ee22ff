"""report: the augmentation of report D."""

from __future__ import annotations

import kornia.augmentation as K

from nnkit.data.augmentation import KorniaAugmentation


class Report(KorniaAugmentation):
    """Report D: rotation ±15°, shift 0.1, scale 0.9 to 1.1, perspective 0.1 at p = 0.5, and a Gaussian blur.

    The blur is 3×3 with a sigma from 0.1 to 1.0, for every image, as are rotation, shift and scale.
    """

    def __init__(self) -> None:
        super().__init__(
            [
                K.RandomAffine(15.0, translate=(0.1, 0.1), scale=(0.9, 1.1), p=1.0),
                K.RandomPerspective(0.1, p=0.5),
                K.RandomGaussianBlur((3, 3), (0.1, 1.0), p=1.0),
            ]
        )
