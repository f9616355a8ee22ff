from __future__ import annotations

import torch
import torch.nn.functional as F
from torchvision.transforms import v2

from nnkit.models.transform_net import TransformNet

GREY = (0.2989, 0.587, 0.114)


def test_with_grey_weights_it_is_the_pipeline_without_antialiasing() -> None:
    model = TransformNet()
    with torch.no_grad():
        model.conv.weight.copy_(torch.tensor(GREY).view(1, 3, 1, 1))
    inputs = torch.rand(3, 3, 32, 32)
    resized = F.interpolate(inputs, (28, 28), mode="bilinear", align_corners=False)
    flips = v2.Compose([v2.RandomHorizontalFlip(p=1), v2.RandomVerticalFlip(p=1)])
    expected = flips(v2.functional.rgb_to_grayscale(resized))
    torch.testing.assert_close(model(inputs), expected)
