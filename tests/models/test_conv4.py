from __future__ import annotations

import pytest
import torch
from torch import nn

from nnkit.errors import UsageError
from nnkit.models.conv4 import Conv4


def test_relu_and_dropout_stand_where_the_report_has_them() -> None:
    kinds = [type(layer) for layer in Conv4().layers]
    conv, relu, dropout = nn.Conv2d, nn.ReLU, nn.Dropout
    assert kinds == [conv, relu, conv, relu, dropout, conv, relu, dropout, conv]


def test_dropout_acts_in_training_only() -> None:
    model, inputs = Conv4(width=8, dropout=0.5), torch.rand(1, 3, 32, 32)
    assert not torch.equal(model(inputs), model(inputs))
    model.eval()
    assert torch.equal(model(inputs), model(inputs))


def test_inputs_of_four_more_rows_and_columns_are_not_resized() -> None:
    model, inputs = Conv4(width=4).eval(), torch.rand(1, 3, 32, 32)
    assert torch.equal(model(inputs), model.layers(inputs))


@pytest.mark.parametrize("size", [(28, 28), (64, 40), (5, 5)])
def test_inputs_of_any_other_size_are(size: tuple[int, int]) -> None:
    assert Conv4(width=4)(torch.rand(1, 3, *size)).shape == (1, 1, 28, 28)


@pytest.mark.parametrize("dropout", [-0.1, 1.0, float("nan")])
def test_a_dropout_that_is_no_share_is_refused(dropout: float) -> None:
    with pytest.raises(UsageError, match="dropout"):
        Conv4(dropout=dropout)


def test_width_zero_is_refused() -> None:
    with pytest.raises(UsageError, match="width=0"):
        Conv4(width=0)
