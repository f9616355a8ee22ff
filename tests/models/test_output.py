from __future__ import annotations

import pytest
import torch

from nnkit.errors import UsageError
from nnkit.models._output import check_output, limit


def test_clamp_passes_the_gradient_of_values_in_range_and_no_other() -> None:
    values = torch.tensor([-0.5, 0.3, 0.9, 1.5], requires_grad=True)
    limit(values, "clamp").sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [0, 1, 1, 0]


def test_none_leaves_values_alone() -> None:
    values = torch.tensor([-3.0, 7.0])
    assert limit(values, "none") is values


def test_an_unknown_output_is_refused_with_what_was_meant() -> None:
    with pytest.raises(UsageError, match="sigmoid"):
        check_output("sigmod")
