from __future__ import annotations

import pytest

from nnkit.errors import UsageError
from nnkit.models._checks import check_counts, check_large_enough, check_sizes


def test_a_count_below_one_is_named_with_its_value() -> None:
    check_counts(width=1, hidden=3)
    with pytest.raises(UsageError, match="width=0"):
        check_counts(hidden=3, width=0)


@pytest.mark.parametrize("size", [(0, 4), (4, -1), (4,), (4, 4, 4)])
def test_a_size_is_a_height_and_a_width(size: tuple[int, ...]) -> None:
    check_sizes(image_size=(1, 1))
    with pytest.raises(UsageError, match="image_size"):
        check_sizes(image_size=size)  # type: ignore[arg-type]


def test_an_image_too_small_on_one_axis_is_refused() -> None:
    check_large_enough(8, 8, minimum=8, why="it shrinks")
    with pytest.raises(UsageError, match=r"8×8 pixels, but got 7×100: it shrinks"):
        check_large_enough(7, 100, minimum=8, why="it shrinks")
