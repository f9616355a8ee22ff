from __future__ import annotations

import pytest

from nnkit.errors import UsageError
from nnkit.models.conv4 import Conv4


@pytest.mark.parametrize("dropout", [-0.1, 1.0, float("nan")])
def test_a_dropout_that_is_no_share_is_refused(dropout: float) -> None:
    with pytest.raises(UsageError, match="dropout"):
        Conv4(dropout=dropout)
