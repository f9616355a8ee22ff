"""One copy of the images per device, which all cells and floors share."""

from __future__ import annotations

import torch
from torch import Tensor


class DeviceCopies:
    """Copies of host tensors, each made when a device is first asked for it and kept."""

    def __init__(self) -> None:
        self._copies: dict[tuple[int, torch.device], tuple[Tensor, Tensor]] = {}

    def on(self, device: torch.device, images: Tensor) -> Tensor:
        """The tensor there: itself where it is there already. What the copying raises is not caught."""
        key = (id(images), device)
        if key not in self._copies:
            # The host's tensor is kept too: no other can get its id.
            self._copies[key] = images, images.to(device)
        return self._copies[key][1]
