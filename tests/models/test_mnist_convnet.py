from __future__ import annotations

import pytest
import torch

from nnkit.errors import UsageError
from nnkit.models.mnist_convnet import MnistConvnet


def test_both_convolutions_give_the_same_net_from_one_seed() -> None:
    torch.manual_seed(0)
    theirs = MnistConvnet()
    torch.manual_seed(0)
    ours = MnistConvnet(conv="unfold")
    inputs = torch.rand(3, 1, 28, 28)
    torch.testing.assert_close(ours(inputs), theirs(inputs))
    ours.load_state_dict(theirs.state_dict())


@pytest.mark.parametrize("size", [(8, 8), (9, 15), (32, 48)])
def test_it_takes_any_size_of_at_least_8(size: tuple[int, int]) -> None:
    assert MnistConvnet(image_size=size)(torch.rand(1, 1, *size)).shape == (1, 10)


def test_an_image_too_small_for_three_pools_is_refused() -> None:
    with pytest.raises(UsageError, match="7×28"):
        MnistConvnet(image_size=(7, 28))


def test_an_unknown_convolution_is_refused() -> None:
    with pytest.raises(UsageError, match="conv='fft'"):
        MnistConvnet(conv="fft")  # type: ignore[arg-type]
