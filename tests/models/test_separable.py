from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torchvision.transforms import v2

from nnkit.errors import UsageError
from nnkit.models.separable import Separable


def reference(images: torch.Tensor) -> torch.Tensor:
    pipeline = v2.Compose([v2.Resize((28, 28), antialias=True), v2.Grayscale()])
    grey: torch.Tensor = pipeline(images)
    return grey.flip(2, 3)


def test_with_the_matrices_of_the_resize_it_is_the_reference_pipeline() -> None:
    model = Separable()
    # What the resize makes of each unit column; then the flip.
    matrix = F.interpolate(torch.eye(32)[None, None], (28, 32), mode="bilinear", antialias=True)[0, 0].flip(0)
    with torch.no_grad():
        model.channels.copy_(torch.tensor([[0.2989, 0.587, 0.114]]))
        model.rows.copy_(matrix)
        model.cols.copy_(matrix)
    images = torch.rand(4, 3, 32, 32)
    torch.testing.assert_close(model(images), reference(images), rtol=1e-4, atol=1e-5)


def test_gradient_training_finds_the_pipeline() -> None:
    torch.manual_seed(0)
    images = F.interpolate(torch.rand(256, 3, 9, 9), (32, 32), mode="bilinear")
    targets, model = reference(images), Separable()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(240):
        rows = slice(32 * (step % 8), 32 * (step % 8) + 32)
        loss = F.mse_loss(model(images[rows]), targets[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 1e-3
    assert loss.item() < 0.05 * targets.var().item()


def test_an_empty_image_is_refused() -> None:
    with pytest.raises(UsageError, match="image_size"):
        Separable(image_size=(0, 0))
