from __future__ import annotations

import pytest

from nnkit.errors import UsageError
from nnkit.models.conv_shrink import ConvShrink


@pytest.mark.parametrize("target_size", [(32, 32), (31, 31), (28, 30), (36, 36), (26, 26)])
def test_a_target_that_no_number_of_convolutions_reaches_is_refused(target_size: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="each takes 4 rows and as many columns"):
        ConvShrink(kernel=5, target_size=target_size)


def test_a_kernel_of_another_size_is_refused() -> None:
    with pytest.raises(UsageError, match="kernel=4"):
        ConvShrink(kernel=4)  # type: ignore[arg-type]
