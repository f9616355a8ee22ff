from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import nn

from nnkit.errors import UsageError
from nnkit.models.mnist_convnet import MnistConvnet
from nnkit.ops import Conv2d


def test_both_convolutions_start_with_the_same_weights_from_one_seed() -> None:
    torch.manual_seed(0)
    theirs = MnistConvnet().state_dict()
    torch.manual_seed(0)
    ours = MnistConvnet(conv="unfold").state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], value) for name, value in theirs.items())


@pytest.mark.parametrize(("conv", "layer"), [("torch", nn.Conv2d), ("unfold", Conv2d)])
def test_the_setting_picks_whose_convolution_is_used(
    conv: Literal["torch", "unfold"], layer: type[nn.Module]
) -> None:
    kinds = [type(module) for module in MnistConvnet(conv=conv).children() if hasattr(module, "stride")]
    assert kinds == [layer] * 3


def test_an_unknown_convolution_is_refused() -> None:
    with pytest.raises(UsageError, match="conv='fft'"):
        MnistConvnet(conv="fft")  # type: ignore[arg-type]
