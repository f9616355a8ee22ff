from __future__ import annotations

import pytest

from nnkit.errors import UsageError
from nnkit.models.mlp_bottleneck import MlpBottleneck


def test_an_empty_bottleneck_is_refused() -> None:
    with pytest.raises(UsageError, match="hidden=0"):
        MlpBottleneck(hidden=0)
