from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nnkit.errors import UsageError
from nnkit.models.varres_plus import VarresPlus
from nnkit.poolings.amax import Amax
from nnkit.poolings.avg import Avg
from nnkit.poolings.max import Max
from padding import padded

SIDE = st.integers(8, 37)


def with_statistics(model: VarresPlus) -> VarresPlus:
    """The model in eval mode, its batch norms as if it had been trained."""
    for norm in model.norms:
        assert isinstance(norm, nn.BatchNorm2d)
        nn.init.uniform_(norm.weight, -1, 1)
        nn.init.normal_(norm.bias)
        assert norm.running_mean is not None
        nn.init.normal_(norm.running_mean)
    return model.eval()


@pytest.mark.parametrize("pooling", [Max, Amax, Avg])
@pytest.mark.parametrize("shape", [{"pools": 1}, {"pools": 3}, {"pools": 1, "pool_every": 2, "crop": 12}])
@settings(max_examples=15, deadline=None, derandomize=True)
@given(sizes=st.lists(st.tuples(SIDE, SIDE), min_size=1, max_size=4))
def test_a_padded_batch_gives_what_each_image_gives_alone(
    pooling: type[nn.Module], shape: dict[str, int], sizes: list[tuple[int, int]]
) -> None:
    torch.manual_seed(0)
    made = VarresPlus(widths=(4, 6, 5), pooling=pooling(), in_channels=2, **shape)  # type: ignore[arg-type]
    model = with_statistics(made)
    images = [torch.randn(2, *size) for size in sizes]
    alone = torch.cat([model(image[None]) for image in images])
    torch.testing.assert_close(model(*padded(images, 9.0)), alone, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"widths": ()}, "widths is empty"),
        ({"widths": (4, 0)}, r"widths\[1\]=0"),
        ({"pools": 5}, "pools=5"),
        ({"pools": -1}, "pools=-1"),
        ({"pools": 3, "pool_every": 2}, "from 0 to 2 with 4 convolutions and pool_every=2"),
        ({"pool_every": 0}, "pool_every=0"),
        ({"crop": 0}, "crop=0"),
        ({"crop": 7}, r"at least 2 \*\* pools = 8, but got crop=7"),
        ({"crop": 16, "glimpse": 16}, "one of crop and glimpse"),
    ],
)
def test_settings_that_make_no_network_are_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        VarresPlus(pooling=Max(), **wrong)  # type: ignore[arg-type]


def test_glimpse_is_the_old_name_of_crop() -> None:
    images = torch.rand(2, 1, 40, 33, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    old = VarresPlus(glimpse=16, pooling=Max()).eval()
    torch.manual_seed(0)
    assert torch.equal(old(images), VarresPlus(crop=16, pooling=Max()).eval()(images))
    assert not torch.equal(old(images), VarresPlus(pooling=Max()).eval()(images))


def test_with_a_crop_a_digit_gives_the_same_wherever_it_is_in_images_of_any_size() -> None:
    torch.manual_seed(0)
    model = with_statistics(VarresPlus(crop=16, pooling=Max()))
    digit = torch.rand(1, 9, 6)
    small, large = torch.zeros(1, 1, 30, 25), torch.zeros(1, 1, 64, 48)
    small[0, :, 12:21, 9:15] = digit
    large[0, :, 40:49, 8:14] = digit
    torch.testing.assert_close(model(small), model(large))
    assert model(torch.rand(2, 1, 3, 5)).shape == (2, 10)


class TwoStatistics(nn.Module):
    """Mean and maximum: twice as many features as channels, and no mask."""

    def num_features(self, num_channels: int) -> int:
        return 2 * num_channels

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.cat([inputs.mean((2, 3)), inputs.amax((2, 3))], 1)


def test_a_pooling_of_more_features_and_without_a_mask_pools_what_is_not_padded() -> None:
    mask = torch.ones(2, 1, 16, 16, dtype=torch.bool)
    model = VarresPlus(widths=(3, 4), pools=1, pooling=TwoStatistics())
    assert model.linear.in_features == 8
    assert model(torch.rand(2, 1, 16, 16)).shape == (2, 10)
    with pytest.raises(UsageError, match="TwoStatistics takes no mask"):
        model(torch.rand(2, 1, 16, 16), mask)
    cropped = VarresPlus(widths=(3, 4), pools=1, crop=12, pooling=TwoStatistics())
    assert cropped(torch.rand(2, 1, 16, 16), mask).shape == (2, 10)
