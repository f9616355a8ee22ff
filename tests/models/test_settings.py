"""Settings that no model can be built with are refused by name, and so are images too small for the pools."""

from __future__ import annotations

import pytest
import torch

from nnkit.build import build
from nnkit.errors import UsageError

COUNTS = {
    "conv-linear": ("in_channels", "target_channels"),
    "linear": ("in_channels", "target_channels"),
    "conv-shrink": ("in_channels", "target_channels"),
    "transform-net": ("in_channels", "target_channels"),
    "mlp-bottleneck": ("hidden", "in_channels", "target_channels"),
    "conv4": ("width", "in_channels", "target_channels"),
    "separable": ("in_channels", "target_channels", "band"),
    "mnist-convnet": ("in_channels", "num_classes"),
    "varres-net": ("width", "in_channels", "num_classes"),
    "varres-plus": ("in_channels", "num_classes", "pool_every"),
}
SIZES = {
    "conv-linear": ("image_size", "target_size"),
    "linear": ("image_size", "target_size"),
    "conv-shrink": ("image_size", "target_size"),
    "transform-net": ("target_size",),
    "mlp-bottleneck": ("image_size", "target_size"),
    "conv4": ("target_size",),
    "separable": ("image_size", "target_size"),
    "mnist-convnet": ("image_size",),
}
IMAGES = [name for name in SIZES if name != "mnist-convnet"]


@pytest.mark.parametrize("count", [0, -1])
@pytest.mark.parametrize(
    ("name", "setting"), [(name, each) for name, all_ in COUNTS.items() for each in all_]
)
def test_a_count_below_1_is_refused(name: str, setting: str, count: int) -> None:
    with pytest.raises(UsageError, match=f"{setting} to be at least 1.*, but got {setting}={count}"):
        build("models", f"{name}:{setting}={count}")


@pytest.mark.parametrize(("name", "setting"), [(name, each) for name, all_ in SIZES.items() for each in all_])
def test_a_size_without_pixels_is_refused(name: str, setting: str) -> None:
    with pytest.raises(UsageError, match=f"{setting} to be a height and a width of at least 1"):
        build("models", f"{name}:{setting}=[0,28]")


@pytest.mark.parametrize("name", IMAGES)
def test_an_output_that_there_is_not_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="output"):
        build("models", f"{name}:output=clip")


@pytest.mark.parametrize("name", IMAGES)
def test_one_pixel_and_one_channel_are_enough(name: str) -> None:
    more = {"mlp-bottleneck": ",hidden=1", "conv4": ",width=1", "separable": ",band=1"}.get(name, "")
    spec = f"{name}:in_channels=1,target_channels=1,target_size=[1,1]{more}"
    side = {"conv-shrink": 3}.get(name, 1)
    if "image_size" in SIZES[name]:
        spec += f",image_size=[{side},{side}]"
    assert build("models", spec)(torch.rand(2, 1, side, side)).shape == (2, 1, 1, 1)


@pytest.mark.parametrize("band", [33, 40])
def test_a_band_is_no_wider_than_the_shorter_side_of_the_image(band: int) -> None:
    with pytest.raises(UsageError, match=f"at most 32, but got band={band}"):
        build("models", f"separable:band={band},image_size=[40,32]")
    assert build("models", "separable:band=32,image_size=[40,32]").band == 32


@pytest.mark.parametrize("size", [(7, 28), (28, 7)])
@pytest.mark.parametrize("name", ["mnist-convnet", "varres-net", "varres-plus"])
def test_an_image_of_which_three_pools_leave_nothing_is_refused(name: str, size: tuple[int, int]) -> None:
    height, width = size
    said = f"at least 8×8 pixels, but got {height}×{width}: (three|3) 2×2 pools leave nothing of it"
    sized = name == "mnist-convnet"
    with pytest.raises(UsageError, match=said):
        build("models", name, known={"image_size": size} if sized else {})(torch.rand(1, 1, *size))
    known = {"image_size": (8, 8)} if sized else {}
    assert build("models", name, known=known)(torch.rand(2, 1, 8, 8)).shape == (2, 10)
