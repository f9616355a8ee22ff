"""affine: small rotations, shifts and changes of scale."""

from __future__ import annotations

import kornia.augmentation as K

from nnkit.augmentations._settings import check_range
from nnkit.data.augmentation import KorniaAugmentation


class Affine(KorniaAugmentation):
    """Turn, scale and shift each image about its own centre: bilinear, black outside.

    The angle is up to `degrees` (0 to 180) either way, the shift up to the share `translate` (0 to 1) of
    height and of width, the scale from 1 - `scale` to 1 + `scale` (0 to 0.9), each uniform. `p` is the
    probability that an image is changed.
    """

    def __init__(
        self, *, degrees: float = 10.0, translate: float = 0.05, scale: float = 0.1, p: float = 1.0
    ) -> None:
        check_range("degrees", degrees, 0, 180)
        check_range("translate", translate, 0, 1)
        check_range("scale", scale, 0, 0.9)
        check_range("p", p, 0, 1)
        shift = (translate, translate)
        super().__init__([K.RandomAffine(degrees, translate=shift, scale=(1 - scale, 1 + scale), p=p)])
