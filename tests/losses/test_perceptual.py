from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torchvision.models.vgg import cfgs, make_layers
from torchvision.transforms.v2.functional import normalize

from nnkit.errors import DataError, UsageError
from nnkit.losses._vgg16 import conv_shapes, load_weights
from nnkit.losses.perceptual import LAYERS, Perceptual


@pytest.fixture(scope="module")
def loss() -> Perceptual:
    return Perceptual(weights="random", resize=32)


def test_it_is_what_torchvisions_layers_give(loss: Perceptual) -> None:
    theirs = make_layers(cfgs["D"])[:29]
    theirs.load_state_dict(load_weights("random"))
    output, target = torch.rand(2, 1, 28, 28), torch.rand(2, 1, 28, 28)
    features = [_prepared(output), _prepared(target)]
    expected = F.mse_loss(output, target)
    for index, layer in enumerate(theirs):
        features = [layer(of_image.clone()) for of_image in features]
        if index in (2, 7, 14, 21, 28):
            expected = expected + F.mse_loss(*features)
    torch.testing.assert_close(loss(output, target), expected)


def _prepared(images: torch.Tensor) -> torch.Tensor:
    resized = F.interpolate(images.repeat(1, 3, 1, 1), (32, 32), mode="bilinear")
    prepared: torch.Tensor = normalize(resized, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    return prepared


def test_the_layers_are_the_last_convolution_of_each_block() -> None:
    convs = sorted(conv_shapes())
    assert len(convs) == 13
    assert set(LAYERS) < set(convs)


def test_it_moves_with_its_module(loss: Perceptual) -> None:
    images = torch.rand(1, 3, 16, 16, dtype=torch.float64)
    assert Perceptual(weights="random", resize=16).double()(images, images.flip(2)).dtype == torch.float64


def test_random_weights_are_the_same_for_each_run_and_draw_from_no_one() -> None:
    torch.manual_seed(3)
    first = load_weights("random")
    after = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(after, torch.rand(1))
    assert all(torch.equal(value, first[key]) for key, value in load_weights("random").items())


def test_a_resize_that_four_pools_would_use_up_is_refused() -> None:
    with pytest.raises(UsageError, match="resize=15"):
        Perceptual(weights="random", resize=15)


def test_images_of_two_channels_are_refused(loss: Perceptual) -> None:
    with pytest.raises(ValueError, match="one channel or three"):
        loss(torch.rand(1, 2, 8, 8), torch.rand(1, 2, 8, 8))


def test_missing_imagenet_weights_are_an_error_that_says_where_they_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(DataError) as caught:
        Perceptual()
    shown = str(caught.value)
    assert str(tmp_path / "hub" / "checkpoints" / "vgg16-397923af.pth") in shown
    assert "https://download.pytorch.org/models/vgg16-397923af.pth" in shown
    assert "weights=random" in shown
