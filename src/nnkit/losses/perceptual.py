"""perceptual: the squared error of pixels plus that of VGG16 features."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nnkit.errors import UsageError
from nnkit.losses._shapes import check_same_shape
from nnkit.losses._vgg16 import Vgg16Features

LAYERS = (2, 7, 14, 21, 28)
"""Indices in torchvision's `vgg16().features`: the last convolution of each block, before its ReLU."""


class Perceptual(nn.Module):
    """Mean squared error plus the mean squared distance of VGG16 features after each of `LAYERS` (report C).

    Output and target, (B, C, H, W) in [0, 1] with one channel or three, are brought to three channels,
    resized bilinearly to `resize` × `resize` pixels and normalised as for ImageNet. VGG16 is frozen: it is
    neither trained nor part of the state dict.

    `weights` is `imagenet` (torchvision's file, read from torch's hub directory and never downloaded),
    `random` (made from a fixed seed) or the path of a state dict. `DataError` where the file is missing or
    is not VGG16's, `UsageError` for a path that is not there or a `resize` below 16, `ValueError` where
    shapes differ.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, *, weights: str = "imagenet", resize: int = 224) -> None:
        super().__init__()
        if resize < 16:
            raise UsageError(
                f"expected resize to be at least 16, but got resize={resize}: four pools leave nothing of it",
                hint="Give resize=224, the size that VGG16 was trained on.",
            )
        self.resize = resize
        self.vgg = Vgg16Features(LAYERS, weights)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1), persistent=False)

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Scalar loss of output and target, both (B, C, H, W)."""
        check_same_shape(output, target)
        loss = F.mse_loss(output, target)
        features = zip(self.vgg(self._prepare(output)), self.vgg(self._prepare(target)), strict=True)
        for of_output, of_target in features:
            loss = loss + F.mse_loss(of_output, of_target)
        return loss

    def _prepare(self, images: Tensor) -> Tensor:
        if images.shape[1] not in (1, 3):
            raise ValueError(f"expected images of one channel or three, but got shape {tuple(images.shape)}")
        size = (self.resize, self.resize)
        resized = F.interpolate(images, size, mode="bilinear", align_corners=False)
        return (resized.expand(-1, 3, -1, -1) - self.mean) / self.std
